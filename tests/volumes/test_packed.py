"""Volumes as they are kept in memory: nothing is lost, and what cannot be packed is not."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from exampledriver.backends.kinds import judge
from exampledriver.journal.records import encode_value
from exampledriver.volumes import packed
from exampledriver.volumes.model import DIRECTORY, StoredVolume, Wanted
from exampledriver.volumes.packed import Packed, Packer, Volumes

from .fixtures import NOON

OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "gid": st.integers(0, 2**32 - 2).map(str),
        "mode": st.integers(0, 0o7777).map("{:04o}".format),
        "mountpoint": st.sampled_from(["/srv/db", "/srv/dä\t"]),
        "uid": st.integers(0, 2**32 - 2).map(str),
    },
)
#: What JSON can hold: no half of a surrogate pair.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=9)
SECONDS = st.datetimes(datetime(1970, 1, 1), datetime(4000, 1, 1), timezones=st.just(timezone.utc))


def place(name: str, wanted: Wanted) -> str:
    """Return where a volume lives."""
    return wanted.options.get("mountpoint") or f"/root/{name}"


def stored(options: Mapping[str, str] = {}, created: datetime = NOON) -> StoredVolume:
    """Return a volume called db."""
    where = place("db", Wanted(DIRECTORY, options))
    return StoredVolume("db", where, created.replace(microsecond=0), options)


class CodecTests(SynchronousTestCase):
    """The journal's values in memory."""

    @given(
        OPTIONS,
        SECONDS,
        st.integers(0, 2**40),
        st.booleans(),
        st.text(max_size=9),
        st.dictionaries(TEXTS, TEXTS, max_size=3),
    )
    def test_round_trip(
        self,
        options: Mapping[str, str],
        created: datetime,
        generation: int,
        removing: bool,
        where: str,
        labels: dict[str, str],
    ) -> None:
        """What is written of a packed value is, byte for byte, what was read."""
        volume = evolve(stored(options, created), place=where, labels=labels)
        value = dict(volume.to_json())
        if generation:
            value["generation"] = generation
        if removing:
            value["removing"] = True
        packer = Packer(place, judge)
        kept = packer.codec().read(encode_value(value))
        assert isinstance(kept, Packed), kept
        self.assertEqual((kept.generation, kept.shared.removing), (generation, removing))
        self.assertEqual(packer.volume("db", kept), volume)
        self.assertEqual(packer.codec().write("db", kept), encode_value(value))

    def test_moved(self) -> None:
        """The journal is written again with where the volume lives now."""
        value = encode_value({**stored().to_json(), "mountpoint": "/old/db"})
        codec = Packer(place, judge).codec()
        self.assertEqual(
            codec.write("db", codec.read(value)), value.replace(b"/old/db", b"/root/db")
        )

    def test_kept_as_they_stand(self) -> None:
        """A value of which anything would be lost is kept as its JSON."""
        good = stored().to_json()
        changes: list[dict[str, object]] = [
            {"backend": "zfs"},
            {"created": "2026-11-24T08:00:00.5Z"},
            {"created": "1969-12-31T23:59:59Z"},
            {"created": "2026-11-24T08:00:00"},
            {"generation": -1},
            {"label": "new"},
            {"options": {"colour": "red"}},
            {"options": {"mode": 448}},
            {"options": []},
        ]
        for change in changes:
            value = encode_value({**good, **change})
            codec = Packer(place, judge).codec()
            self.assertEqual(codec.read(value), value)
            self.assertEqual(codec.write("db", value), value)

    def test_shared(self) -> None:
        """Volumes of the same options share them, however they were made."""
        packer = Packer(place, judge)
        options = {"gid": "2", "mode": "0700", "uid": "1"}
        first = packer.codec().read(encode_value(stored(options).to_json()))
        assert isinstance(first, Packed)
        self.assertIs(packer.pack(stored(options)).shared, first.shared)

    def test_no_volume(self) -> None:
        """A value that is no volume is an error that names it; so is a name that is none."""
        packer = Packer(place, judge)
        for name, value in (
            ("db", {"generation": 1}),
            ("../db", stored().to_json()),
            ("../db", packer.pack(stored())),
        ):
            error = self.assertRaises(ValueError, packer.read, name, value)
            self.assertIn(f'entry of volume "{name}" is not one of this version', str(error))


class VolumesTests(SynchronousTestCase):
    """The map of volumes."""

    def test_map(self) -> None:
        """It holds what was put in last, and nothing that was taken out."""
        self.patch(packed, "_MOST", 3)
        volumes = Volumes(Packer(place, judge))
        expected: dict[str, StoredVolume] = {}
        for number in range(50):
            name = f"v{number % 7}"
            if number % 5 == 4 and name in expected:
                del volumes[name], expected[name]
            else:
                created = stored().created + timedelta(seconds=number)
                expected[name] = StoredVolume(name, f"/root/{name}", created, {})
                volumes[name] = expected[name]
            self.assertEqual(dict(volumes), expected)
            self.assertEqual({name: volumes.get(name) for name in volumes}, expected)
            self.assertLessEqual(len(volumes._recent), 3)
        self.assertIs(volumes.get("never"), None)
        self.assertRaises(KeyError, lambda: volumes["never"])
        names = sorted(expected)
        self.assertEqual(volumes.some(["never", *names]), [expected[name] for name in names])
