"""Volumes as they are kept in memory: small, and made into values when somebody asks.

A volume is a name, a second, and options that it has in common with many others. Where it
lives follows from these. The journal's map and the service's share one object for each.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, KeysView, Mapping, MutableMapping
from datetime import datetime, timezone
from types import MappingProxyType
from typing import Annotated, Any

import msgspec
from attrs import define, evolve, field, frozen

from ..journal.interfaces import Codec, Value
from ..plugin.errors import BadRequest
from ..plugin.volume import rfc3339
from .model import NO_LABELS, Judge, StoredVolume, Wanted

#: How many sets of options, and how many volumes, are kept ready.
_MOST = 1024

#: In the journal's value of a volume that is removed: the removal is not settled.
REMOVING = "removing"

#: In the journal's value of a volume: the generation in which it was made.
GENERATION = "generation"

#: Seconds since 1970 have so many bits.
_BITS = 36
_SECONDS = (1 << _BITS) - 1
_DAY = 24 * 60 * 60
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

#: Says where a volume of a name and a kind lives.
Place = Callable[[str, Wanted], str]

_options = msgspec.json.Decoder(dict[str, str]).decode


@frozen
class Shared:
    """What many volumes have in common.

    :ivar wanted: their backend and their options.
    :ivar text: the options as JSON.
    :ivar removing: their removal has begun.
    :ivar place: which file system their directories lie in; see :class:`.StoredVolume`.
    :ivar labels: in the few volumes that have some, which share nothing.
    """

    wanted: Wanted
    text: bytes
    removing: bool
    place: str = ""
    labels: Mapping[str, str] = NO_LABELS


class Packed(msgspec.Struct, frozen=True, gc=False):
    """A volume.

    :ivar stamp: when it was created, in seconds since 1970, and its generation in the bits
        above: one small object in place of two.
    """

    stamp: int
    shared: Shared

    @property
    def created(self) -> datetime:
        """When it was created."""
        return datetime.fromtimestamp(self.stamp & _SECONDS, timezone.utc)

    @property
    def generation(self) -> int:
        """The generation in which it was made; 0 if that is not known, or long ago."""
        return self.stamp >> _BITS


def _packed(created: datetime, generation: int, shared: Shared) -> Packed:
    """Return a volume.

    :raises ValueError: it cannot be packed without a loss.
    """
    # A start does this for each of a hundred thousand volumes: timestamp() takes twice as long.
    since = created - _EPOCH
    stamp = since.days * _DAY + since.seconds
    if since.microseconds or not 0 <= stamp <= _SECONDS:
        raise ValueError(f"created={created} is not a second since 1970")
    return Packed(generation << _BITS | stamp, shared)


def _compact(texts: Mapping[str, str]) -> bytes:
    return json.dumps(dict(texts), separators=(",", ":"), sort_keys=True).encode("ascii")


class _Written(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A volume in the journal; :meth:`exampledriver.volumes.model.StoredVolume.to_json`."""

    backend: str
    created: Annotated[datetime, msgspec.Meta(tz=True)]
    mountpoint: str
    options: msgspec.Raw
    generation: Annotated[int, msgspec.Meta(ge=0)] = 0
    labels: dict[str, str] | None = None
    place: str = ""
    removing: bool = False


@define(eq=False)
class Packer:
    """Packs volumes, for the journal and for the service."""

    _place: Place
    _judge: Judge
    _by_text: dict[tuple[str, bytes, str], Shared] = field(factory=dict, init=False)
    _by_options: dict[tuple[str, tuple[tuple[str, str], ...], str], Shared] = field(
        factory=dict, init=False
    )

    def codec(self) -> Codec:
        """Return how a journal keeps volumes."""
        return Codec(_Written, self._pack, self._unpack)

    def _pack(self, value: _Written) -> Packed:
        text = bytes(value.options)
        shared = self._by_text.get((value.backend, text, value.place))
        if shared is None or value.removing:
            shared = self._read(value.backend, text, value.place, value.removing)
        if value.labels:
            shared = evolve(shared, labels=MappingProxyType(value.labels))
        return _packed(value.created, value.generation, shared)

    def _read(self, backend: str, text: bytes, place: str, removing: bool = False) -> Shared:
        """Read options.

        :raises ValueError: they are none.
        """
        try:
            options = MappingProxyType(_options(text))
            self._judge(backend, options)
        except BadRequest as error:
            raise ValueError(str(error)) from error
        shared = Shared(Wanted(backend, options), text, removing, place)
        if not removing and len(self._by_text) < _MOST:
            self._by_text[backend, text, place] = shared
        return shared

    def _unpack(self, name: str, packed: Packed) -> bytes:
        generation = packed.generation
        labels = packed.shared.labels
        return b'{"backend":"%s","created":"%s",%s%s"mountpoint":%s,"options":%s%s%s}' % (
            packed.shared.wanted.backend.encode("ascii"),
            rfc3339(packed.created).encode("ascii"),
            b'"generation":%d,' % generation if generation else b"",
            b'"labels":%s,' % _compact(labels) if labels else b"",
            json.dumps(self._place(name, packed.shared.wanted)).encode("ascii"),
            packed.shared.text,
            b',"place":%s' % json.dumps(packed.shared.place).encode("ascii")
            if packed.shared.place
            else b"",
            b',"removing":true' if packed.shared.removing else b"",
        )

    def pack(self, volume: StoredVolume, generation: int = 0) -> Packed:
        """Pack a volume, which is not removed."""
        backend, place = volume.backend, volume.place
        key = backend, tuple(volume.options.items()), place
        shared = self._by_options.get(key)
        if shared is None:
            text = _compact(volume.options)
            shared = self._by_text.get((backend, text, place)) or self._read(backend, text, place)
            if len(self._by_options) < _MOST:
                self._by_options[key] = shared
        if volume.labels:
            shared = evolve(shared, labels=volume.labels)
        return _packed(volume.created, generation, shared)

    def read(self, name: str, value: Packed | Value) -> Packed:
        """Pack what the codec has not packed, or say what is wrong with a name.

        :raises ValueError: it is no volume, or a newer version's; the text names it.
        """
        if isinstance(value, Packed):
            value = {}
        volume, generation = StoredVolume.from_json(name, value, self._judge), value.get(GENERATION)
        created = max(volume.created.replace(microsecond=0), _EPOCH)
        volume = evolve(volume, created=created)
        packed = self.pack(volume, generation if isinstance(generation, int) else 0)
        if value.get(REMOVING):
            packed = Packed(packed.stamp, evolve(packed.shared, removing=True))
        return packed

    def volume(self, name: str, packed: Packed) -> StoredVolume:
        """Return a volume that was packed."""
        shared = packed.shared
        wanted = shared.wanted
        where = self._place(name, wanted)
        return StoredVolume(
            name, where, packed.created, wanted.options, wanted.backend, shared.place, shared.labels
        )


@define(eq=False)
class Volumes(MutableMapping[str, StoredVolume]):
    """Volumes by name; those that were asked for lately are kept as they are, too."""

    packer: Packer
    _packed: dict[str, Packed] = field(factory=dict, init=False)
    _recent: dict[str, StoredVolume] = field(factory=dict, init=False)

    def load(self, packed: dict[str, Packed]) -> None:
        """Begin with these volumes."""
        self._packed = packed
        self._recent.clear()

    def get(self, name: str, default: Any = None) -> Any:
        """Return a volume, or `default`."""
        found = self._recent.get(name)
        if found is not None:
            return found
        packed = self._packed.get(name)
        return default if packed is None else self._remember(self.packer.volume(name, packed))

    def _remember(self, volume: StoredVolume) -> StoredVolume:
        if len(self._recent) >= _MOST:
            self._recent.clear()
        self._recent[volume.name] = volume
        return volume

    def __getitem__(self, name: str) -> StoredVolume:
        """Return a volume."""
        volume: StoredVolume | None = self.get(name)
        if volume is None:
            raise KeyError(name)
        return volume

    def __setitem__(self, name: str, volume: StoredVolume) -> None:
        """Add a volume, or put it in the place of another."""
        self._packed[name] = self.packer.pack(volume)
        self._remember(volume)

    def __delitem__(self, name: str) -> None:
        """Take a volume out."""
        del self._packed[name]
        self._recent.pop(name, None)

    def __contains__(self, name: object) -> bool:
        """Tell whether there is a volume."""
        return name in self._packed

    def __iter__(self) -> Iterator[str]:
        """Return the names."""
        return iter(self._packed)

    def __len__(self) -> int:
        """Return how many volumes there are."""
        return len(self._packed)

    def keys(self) -> KeysView[str]:
        """Return the names."""
        return self._packed.keys()

    def since(self, generation: int, names: list[str]) -> dict[str, tuple[int, StoredVolume]]:
        """Return those of these volumes that were made after a generation, with theirs."""
        found = ((name, self._packed[name]) for name in names)
        return {
            name: (packed.generation, self.packer.volume(name, packed))
            for name, packed in found
            if packed.generation > generation
        }

    def some(self, names: Iterable[str]) -> list[StoredVolume]:
        """Return the volumes of these names that are there, and keep none of them ready."""
        packed, volume = self._packed, self.packer.volume
        return [volume(name, packed[name]) for name in names if name in packed]
