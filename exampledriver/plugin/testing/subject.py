"""A plugin under judgement: calls to it, volumes of its own in it, and their removal."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any

from attrs import define, field

from .connection import NO_ANSWER, Client, Target
from .http import DOCKER, PODMAN, Response, request
from .judging import Blocked
from .reply import Reply, path_complaint

#: In options this stands for the name of what they are for.
NAME = "{name}"
#: Names that stand for themselves where :data:`NAME` is; others may lead elsewhere, as ``../x``.
_PLAIN = re.compile("[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")

#: Header lines that a volume driver is tried with, until one can create a volume.
_HEADS = (DOCKER, PODMAN, (*DOCKER, b"Content-Type: application/json"))


def options_for(options: Mapping[str, str], name: str) -> dict[str, str]:
    """Return the options of one volume, network or log: :data:`NAME` in them becomes its name.

    A name that could not be one part of a path or of a URL becomes a word of its own.
    """
    word = name if _PLAIN.fullmatch(name) else _word(name)
    return {key: value.replace(NAME, word) for key, value in options.items()}


def long_id(prefix: str, number: int) -> str:
    """Return an ID as Docker makes them: 64 hexadecimal digits, the first 12 unique."""
    return sha256(f"{prefix}{number}".encode()).hexdigest()


def _word(name: str) -> str:
    return f"kit-{sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"


@define(eq=False)
class Subject:
    """A plugin of any protocol.

    :ivar limit: seconds that any answer may take.
    :ivar idle: seconds for which an idle connection is looked at.
    :ivar large: how large a body is sent to see whether there is a bound, in bytes.
    :ivar head: the header lines of calls that are not about headers.
    """

    target: Target
    limit: float = 10.0
    idle: float = 2.0
    large: int = 8 << 20
    head: Sequence[bytes] = DOCKER

    async def prepare(self) -> None:
        """Find out how this plugin can be talked to at all, before it is judged."""

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        """Open a connection that is closed at the end."""
        client = Client(await self.target.connect(), self.target, self.limit)
        try:
            yield client
        finally:
            client.close()

    async def send(self, call: str, *pieces: bytes, within: float | None = None) -> Reply:
        """Send a whole request on a connection of its own, and return the answer."""
        async with self.client() as client:
            return await self.on(client, call, *pieces, within=within)

    async def on(
        self, client: Client, call: str, *pieces: bytes, within: float | None = None
    ) -> Reply:
        """Send a request on a connection, and return the answer."""
        began = self.target.seconds()
        response = await client.ask(*pieces, within=within)
        return Reply(call, response, self.target.seconds() - began)

    async def at_once(self, requests: Iterable[bytes]) -> list[Response]:
        """Send each request on a connection of its own before any answer is read."""
        async with contextlib.AsyncExitStack() as stack:
            clients = []
            for data in requests:
                client = await stack.enter_async_context(self.client())
                await client.send(data)
                clients.append(client)
            return [await client.response() for client in clients]

    async def call(
        self, call: str, message: object = b"", head: Sequence[bytes] | None = None
    ) -> Reply:
        """Make one call, such as ``Plugin.Activate``, on a connection of its own."""
        return await self.send(call, request(call, message, head or self.head))

    async def implements(self) -> list[str]:
        """Return what Activate says that the plugin is.

        :raises Blocked: it says nothing that can be used.
        """
        try:
            reply = await self.call("Plugin.Activate")
        except NO_ANSWER as error:
            raise Blocked(f"Plugin.Activate: {error}") from None
        found = reply.fields.get("Implements")
        if not reply.ok or not isinstance(found, list):
            raise Blocked(str(reply))
        return [name for name in found if isinstance(name, str)]

    async def cleanup(self) -> list[str]:
        """Remove what was made; return what is left, for people."""
        return []


@define(eq=False)
class VolumeSubject(Subject):
    """A volume driver.

    :ivar prefix: begins the name of every volume that is made.
    :ivar options: ``Opts`` for making a volume; see :func:`options_for`.
    :ivar files: the plugin's directories are seen from here under their own paths.
    """

    prefix: str = "kit-"
    options: Mapping[str, str] = field(factory=dict)
    files: bool = True
    _form: Mapping[str, object] = field(init=False)
    _count: int = field(default=0, init=False)
    _made: list[str] = field(factory=list, init=False)
    _mounts: list[tuple[str, str]] = field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        """Begin with what most plugins take."""
        self._form = {"Opts": self.options}

    def name(self) -> str:
        """Return a name that no volume has. Whatever gets it is removed at the end."""
        self._count += 1
        name = f"{self.prefix}{self._count}"
        self._made.append(name)
        return name

    def owned(self, name: str) -> str:
        """Take note of a name that was thought of elsewhere; return it."""
        self._made.append(name)
        return name

    def new_id(self) -> str:
        """Return a mount ID, another one each time."""
        self._count += 1
        return long_id(self.prefix, self._count)

    async def volume(self, call: str, name: str, **fields: object) -> Reply:
        """Make a call of the protocol that names a volume."""
        if call == "Mount":
            self._mounts.append((name, str(fields.get("ID"))))
        return await self.call(f"VolumeDriver.{call}", {"Name": name, **fields})

    def request(self, call: str, name: str, **fields: object) -> bytes:
        """Return a request, for sending it by hand."""
        if call == "Mount":
            self._mounts.append((name, str(fields.get("ID"))))
        return request(f"VolumeDriver.{call}", {"Name": name, **fields}, self.head)

    def fields(self, name: str, place: str = "") -> dict[str, object]:
        """Return the fields with which Create makes a volume of this plugin.

        :param place: what stands for the name in the options; by default the name.
        """
        if not self._form.get("Opts"):
            return dict(self._form)
        return {"Opts": options_for(self.options, place or name)}

    async def prepare(self) -> None:
        """Find a head and a form of ``Opts`` with which volumes can be made.

        That others do not work is for the rules to say.
        """
        forms: list[Mapping[str, object]] = [{"Opts": self.options}]
        if not self.options:
            forms += [{"Opts": None}, {}]
        for head in _HEADS:
            for form in forms:
                self._form, name = form, self.name()
                message = {"Name": name, **self.fields(name)}
                with contextlib.suppress(*NO_ANSWER):
                    if (await self.call("VolumeDriver.Create", message, head)).ok:
                        self.head = head
                        await self.cleanup()
                        return
        self._form = forms[0]

    async def create(self, name: str, place: str = "") -> Reply:
        """Ask for a volume, with the options that this plugin needs; see :meth:`fields`."""
        return await self.volume("Create", self.owned(name), **self.fields(name, place))

    async def make(self) -> str:
        """Make a volume and return its name.

        :raises Blocked: it cannot be made.
        """
        name = self.name()
        await self.must("Create", name, **self.fields(name))
        return name

    async def mount(self, name: str, mount_id: str) -> str:
        """Mount a volume and return its path.

        :raises Blocked: it cannot be mounted.
        """
        path = (await self.must("Mount", name, ID=mount_id)).fields.get("Mountpoint")
        # Files are written there: it must be no directory of the host's.
        if complaint := path_complaint(path, empty=False):
            raise Blocked(complaint)
        return str(path)

    async def must(self, call: str, name: str, **fields: object) -> Reply:
        """Make a call that another rule is about.

        :raises Blocked: it fails.
        """
        try:
            reply = await self.volume(call, name, **fields)
        except NO_ANSWER as error:
            raise Blocked(f"VolumeDriver.{call}: {error}") from None
        if not reply.ok:
            raise Blocked(str(reply))
        return reply

    async def there(self, name: str) -> bool:
        """Return whether Get finds a volume, as Docker reads it."""
        reply = await self.volume("Get", name)
        volume = reply.fields.get("Volume")
        return reply.ok and isinstance(volume, dict)

    async def ready(self) -> str:
        """Make a volume that Get finds, and return its name.

        :raises Blocked: it cannot be made, or Get does not find it.
        """
        name = await self.make()
        await self.must("Get", name)
        return name

    async def finds(self) -> None:
        """Go on if Get finds a new volume and no other.

        :raises Blocked: it does not, which other rules are about.
        """
        name = await self.make()
        if not await self.there(name):
            raise Blocked("Get does not find a new volume")
        if await self.there(self.name()):
            raise Blocked("Get finds whatever it is asked for")

    async def removes(self) -> None:
        """Go on if a volume can be removed.

        :raises Blocked: it cannot, which other rules are about.
        """
        await self.finds()
        name = await self.make()
        await self.must("Remove", name)
        if await self.there(name):
            raise Blocked("a removed volume is there for Get")

    async def known(self, name: str) -> Mapping[str, Any]:
        """Return what Get says of a volume that is there.

        :raises Blocked: it does not say it is there.
        """
        volume = (await self.must("Get", name)).fields.get("Volume")
        if not isinstance(volume, dict):
            raise Blocked(f"Get answers no volume but {volume!r}")
        return volume

    async def listed(self) -> list[object]:
        """Return what List lists.

        :raises Blocked: it is no list.
        """
        reply = await self.call("VolumeDriver.List", {})
        volumes = reply.fields.get("Volumes")
        if not reply.ok or not isinstance(volumes, list):
            raise Blocked(str(reply))
        return volumes

    async def names(self) -> list[str]:
        """Return the names that List lists."""
        volumes = await self.listed()
        return [str(volume.get("Name")) for volume in volumes if isinstance(volume, dict)]

    async def cleanup(self) -> list[str]:
        """Unmount and remove what was made; return what is left, for people."""
        mounts, self._mounts = self._mounts, []
        made, self._made = self._made, []
        for name, mount_id in reversed(mounts):
            with contextlib.suppress(*NO_ANSWER):
                await self.volume("Unmount", name, ID=mount_id)
        names = list(dict.fromkeys(made))
        for name in reversed(names):
            with contextlib.suppress(*NO_ANSWER):
                await self.volume("Remove", name)
        return await self._left(names) if names else []

    async def _left(self, names: Sequence[str]) -> list[str]:
        """Return which volumes are still there, by List, or by Get if that says nothing."""
        left = []
        try:
            there = await self.names()
            left = [name for name in names if name in there]
        except (Blocked, *NO_ANSWER):
            for name in names:
                with contextlib.suppress(*NO_ANSWER):
                    left += [name] if await self.there(name) else []
        return left
