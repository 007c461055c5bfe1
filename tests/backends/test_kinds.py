"""The options of each kind: what is refused and how the error says so; what becomes canonical."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from exampledriver.backends.clones import clone_options
from exampledriver.backends.kinds import OPTIONS, PARSE, Choice, judge
from exampledriver.backends.sharing import MountOptions
from exampledriver.plugin.errors import BadRequest
from exampledriver.volumes import values
from exampledriver.volumes.errors import InvalidOptionError

#: A Create of each kind that is good.
GOOD: Mapping[str, Mapping[str, str]] = {
    "directory": {"mountpoint": "/srv/x", "uid": "01", "mode": "750"},
    "image": {"size": "10G"},
    "tmpfs": {"size": "64MiB", "mode": "1777"},
    "btrfs": {"size": "1073741824", "compression": "zstd"},
    "mount": {"type": "nfs", "device": "server:/path", "o": "nfsvers=4,soft"},
}


class OptionCase(SynchronousTestCase):
    """A choice of kinds without a configuration."""

    choice = Choice()

    def parse(self, **options: str) -> Mapping[str, str]:
        """Return the canonical options of a Create."""
        return self.choice.parse("db", options).options

    def refused(self, **options: str) -> str:
        """Return the error's text."""
        error = self.assertRaises(InvalidOptionError, self.choice.parse, "db", options)
        return str(error)


class ChoiceTests(OptionCase):
    """Which kind a Create gets."""

    def test_default(self) -> None:
        """Without a backend it is a directory."""
        wanted = self.choice.parse("db", {})
        self.assertEqual((wanted.backend, wanted.options), ("directory", {}))

    def test_each(self) -> None:
        """Each kind takes its options, keeps them in order, and reads what it has written."""
        for backend, options in GOOD.items():
            wanted = self.choice.parse("db", {"backend": backend, **options})
            self.assertEqual(wanted.backend, backend)
            self.assertEqual(list(wanted.options), sorted(wanted.options))
            again = self.choice.parse("db", {"backend": backend, **wanted.options})
            self.assertEqual(again, wanted)
            judge(backend, wanted.options)

    def test_unknown_backend(self) -> None:
        """A backend that is not known is named, with those that are."""
        self.assertEqual(
            self.refused(backend="zfs"),
            'volume "db": option backend="zfs": give one of btrfs, directory, image, mount, tmpfs',
        )
        self.assertRaises(ValueError, judge, "zfs", {})

    def test_unknown_option(self) -> None:
        """An option that is not known is named, with those that are."""
        self.assertEqual(
            self.refused(sise="1G"),
            'volume "db": option "sise" is not known; '
            "known: from, gid, mode, mountpoint, size, uid",
        )
        self.assertEqual(
            self.refused(backend="tmpfs", sise="1G"),
            'volume "db": option "sise" is not known of backend tmpfs; known: gid, mode, size, uid',
        )
        self.assertRaises(InvalidOptionError, judge, "tmpfs", {"sise": "1G"})

    def test_other_kind(self) -> None:
        """An option of another kind says of which, as moving from Docker's local forgets it."""
        text = self.refused(type="nfs", device="a:/b")
        self.assertIn("is not one of backend directory: it is one of mount", text)
        self.assertIn("add -o backend=mount", text)
        self.assertIn("add -o backend=btrfs", self.refused(copyonwrite="true"))

    def test_allowed(self) -> None:
        """A kind that is not allowed is refused; what the journal has of it is read."""
        self.choice = Choice(("directory", "image"), "image", {"image": {"size": "1G"}})
        self.assertEqual(
            self.refused(backend="mount", type="nfs", device="a:/b"),
            'volume "db": option backend="mount": the configuration of this driver allows '
            "directory, image",
        )
        judge("mount", {"type": "nfs", "device": "a:/b"})
        self.assertEqual(self.parse(), {"fs": "ext4", "size": "1G"})
        self.assertEqual(self.parse(size="2G")["size"], "2G")

    def test_other_type(self) -> None:
        """Defaults of one type of mounts are not taken for another type."""
        for defaults, o in (({"type": "nfs"}, None), ({}, "soft")):
            defaults = {"o": "soft", "timeout": "9s", **defaults}
            choice = Choice(defaults={"mount": defaults})
            found = choice.parse("db", {"backend": "mount", "type": "cifs", "share": "h/s"}).options
            self.assertEqual((found.get("o"), found["timeout"]), (o, "9s"))
        found = choice.parse("db", {"backend": "mount", "type": "nfs", "share": "h:/s"}).options
        self.assertEqual(found["o"], "soft")

    def test_whole(self) -> None:
        """What is a copy, or comes from the trash, takes no defaults."""
        choice = Choice(defaults={"directory": {"uid": "999", "size": "1G"}})
        self.assertEqual(choice.parse("db", {"mode": "0750"}, whole=True).options, {"mode": "0750"})

    @given(
        st.sampled_from(sorted(PARSE)),
        st.dictionaries(st.sampled_from(sorted(set().union(*OPTIONS.values()))), st.text()),
    )
    def test_anything(self, backend: str, options: Mapping[str, str]) -> None:
        """Whatever is given is refused as a mistake of the request, or becomes canonical."""
        try:
            wanted = self.choice.parse("db", {**options, "backend": backend})
        except BadRequest as error:
            self.assertNotIn("\n", str(error))
            return
        self.assertEqual(
            self.choice.parse("db", {**wanted.options, "backend": backend}).options, wanted.options
        )


class ValueTests(SynchronousTestCase):
    """Values that several kinds share."""

    def good(self, reader: values.Reader, pairs: Mapping[str, str]) -> None:
        """See that each text is read as the canonical one."""
        for text, canonical in pairs.items():
            self.assertEqual(reader(text), canonical)

    def bad(self, reader: values.Reader, *texts: str) -> None:
        """See that each text is refused."""
        for text in texts:
            self.assertRaises(ValueError, reader, text)

    def test_size(self) -> None:
        """Sizes are powers of 1024, however they are written, as in Docker."""
        self.good(
            values.size,
            {
                "10G": "10G", "10g": "10G", "512MiB": "512M", "512mb": "512M", "1024": "1K",
                "1000": "1000", "0001K": "1K", "1024T": "1P", "2048B": "2K",
            },
        )  # fmt: skip
        self.bad(values.size, "", "0", "-1", "1.5G", "G", "1 G", "1X", "1025T", "9" * 30, "\u0661G")
        self.assertEqual(values.size_bytes("3M"), 3 << 20)
        self.assertEqual(values.size_bytes("17"), 17)

    def test_identity_and_mode(self) -> None:
        """Owner, group and mode are numbers in their range."""
        self.good(values.identity, {"0": "0", "007": "7", "4294967294": "4294967294"})
        self.bad(values.identity, "", "-1", "root", "4294967295", "1.0", "\u0663", "1 ", "9" * 11)
        self.good(values.mode, {"750": "0750", "07777": "7777", "0": "0000"})
        self.bad(values.mode, "", "8", "rwx", "10000", "0o750", "-1", "\u0667")

    def test_paths(self) -> None:
        """A path is absolute, or stays below; it can be written down."""
        self.good(values.path, {"/a/b": "/a/b"})
        self.bad(values.path, "", "data", "./data", "~/data", "/a\0b", "/\ud800", "/a\nb")
        self.good(values.relative, {"a/b": "a/b", "a//./b/": "a/b"})
        self.bad(values.relative, "", "/a", "..", "a/../b", ".", "a\0b", "\ud800")

    def test_words(self) -> None:
        """Switches, times and choices."""
        self.good(values.yes_no, {"true": "yes", "No": "no", "1": "yes"})
        self.bad(values.yes_no, "", "maybe")
        self.good(values.duration(1, 110), {"30": "30s", "1m": "60s", "110s": "110s"})
        self.bad(values.duration(1, 110), "", "0", "111", "2m", "1h", "-1")
        self.bad(values.choice("a", "b"), "", "c")


class ImageTests(OptionCase):
    """image and tmpfs."""

    def test_size_is_needed(self) -> None:
        """What has a hard limit needs one."""
        self.assertIn('backend image needs option "size"', self.refused(backend="image"))
        self.assertIn('backend tmpfs needs option "size"', self.refused(backend="tmpfs"))

    def test_smallest(self) -> None:
        """A file system that would be too small is refused with its smallest size."""
        for fs, size in (("ext4", "8M"), ("xfs", "300M"), ("btrfs", "256M")):
            text = self.refused(backend="image", fs=fs, size="1M")
            self.assertIn(f'size="1M": a file system {fs} needs at least {size}', text)

    def test_long_name(self) -> None:
        """A name for which there is no room in a file's name is refused."""
        options = {"backend": "image", "size": "1G"}
        error = self.assertRaises(BadRequest, self.choice.parse, "a" * 241, options)
        self.assertIn("at most 240 characters", str(error))


class BtrfsTests(OptionCase):
    """btrfs."""

    def test_buttervolume(self) -> None:
        """buttervolume's copyonwrite is cow."""
        self.assertEqual(self.parse(backend="btrfs", copyonwrite="false"), {"cow": "no"})
        self.assertIn("cow says", self.refused(backend="btrfs", copyonwrite="false", cow="yes"))

    def test_no_cow(self) -> None:
        """Compression without copy on write would be ignored, and is refused."""
        text = self.refused(backend="btrfs", cow="no", compression="zstd")
        self.assertIn('compression="zstd": data without copy on write', text)

    def test_clone(self) -> None:
        """A clone may say what its source has, in any of the ways to say it; nothing else."""
        for options, more in (
            ({"cow": "no"}, {"cow": "false"}),
            ({"cow": "no"}, {"copyonwrite": "no"}),
            ({}, {"cow": "yes"}),
            ({"compression": "zstd"}, {"compression": "zstd", "backend": "btrfs"}),
        ):
            found = clone_options("c", "btrfs", options, more)
            self.choice.parse("c", found)
        for options, more in (
            ({"cow": "no"}, {"copyonwrite": "true"}),
            ({}, {"cow": "no"}),
            ({}, {"compression": "zstd"}),
            ({}, {"cow": "perhaps"}),
        ):
            self.assertRaises(InvalidOptionError, clone_options, "c", "btrfs", options, more)


class MountTests(OptionCase):
    """mount, and what moves to it."""

    def mount(self, **options: str) -> MountOptions:
        """Return the options of a good Create."""
        return MountOptions.of(self.parse(backend="mount", **options))

    def mount_refused(self, **options: str) -> str:
        """Return the error's text."""
        return self.refused(backend="mount", **options)

    def test_needed(self) -> None:
        """A type and a device are needed."""
        self.assertIn('needs option "type"', self.mount_refused(device="a:/b"))
        self.assertIn('needs option "device (or share)"', self.mount_refused(type="nfs"))

    def test_local_nfs(self) -> None:
        """Docker's local takes the server of NFS from addr; the helper needs it in the device."""
        found = self.mount(type="nfs", o="addr=10.0.0.1,rw,nfsvers=4", device=":/path")
        self.assertEqual(found.full_device(), "10.0.0.1:/path")
        found = self.mount(type="nfs4", o="addr=fe80::1", device=":/path")
        self.assertEqual(found.full_device(), "[fe80::1]:/path")
        self.assertIn("the server is missing", self.mount_refused(type="nfs", device=":/path"))

    def test_netshare(self) -> None:
        """netshare's options become those of mount(8)."""
        found = self.mount(type="nfs", share="host/a/b", nfsopts="nolock,proto=tcp")
        self.assertEqual((found.device, found.words), ("host:/a/b", ("nolock", "proto=tcp")))
        self.assertEqual(self.mount(type="nfs", share="host:/a").device, "host:/a")
        self.assertEqual(self.mount(type="efs", share="fs-12/a").device, "fs-12:/a")
        found = self.mount(
            type="cifs", share="host/share", username="u", domain="D", security="ntlmssp",
            fileMode="0660", dirMode="0770", cifsopts="vers=3.0",
        )  # fmt: skip
        self.assertEqual(found.device, "//host/share")
        words = "vers=3.0,username=u,domain=D,sec=ntlmssp,file_mode=0660,dir_mode=0770"
        self.assertEqual(",".join(found.words), words)
        self.assertEqual(self.mount(type="nfs", share="h/a", create="true").subpath, "db")

    def test_netshare_elsewhere(self) -> None:
        """What is for one type of file system is refused for another."""
        self.assertIn("is for CIFS", self.mount_refused(type="nfs", share="h/a", username="u"))
        self.assertIn("is for nfs", self.mount_refused(type="cifs", share="h/a", nfsopts="ro"))
        self.assertIn("is for NFS, CIFS and EFS", self.mount_refused(type="ext4", share="h/a"))
        text = self.mount_refused(type="nfs", share="h/a", device="h:/a")
        self.assertIn("device is given too", text)
        text = self.mount_refused(type="nfs", share="h/a", create="yes", subpath="x")
        self.assertIn("subpath is given", text)

    def test_secrets(self) -> None:
        """Secrets are refused wherever they stand, and no error repeats one."""
        for options in (
            {"o": "username=u,password=hunter2"},
            {"o": "PASS=hunter2"},
            {"o": "vers=3,username=u%hunter2"},
            {"username": "u%hunter2"},
            {"password": "hunter2"},
            {"cifsopts": "password2=hunter2"},
            {"device": "ftp://user:hunter2@host/"},
            {"o": "secret=hunter2\0"},
        ):
            text = self.mount_refused(**{"type": "cifs", "device": "//a/b", **options})
            self.assertIn("give credentials-file=", text)
            self.assertNotIn("hunter2", text)
        self.assertIn(
            "option share has a password ", self.mount_refused(type="cifs", share="u:hunter2@h/s")
        )

    def test_credentials(self) -> None:
        """A file with secrets is given to the helper in its own way."""
        found = self.mount(type="cifs", share="h/a", **{"credentials-file": "/etc/c"})
        self.assertEqual(found.all_words(), ["credentials=/etc/c"])
        text = self.mount_refused(type="nfs", share="h/a", **{"credentials-file": "/etc/c"})
        self.assertIn("the type nfs takes none here", text)

    def test_types(self) -> None:
        """A type is a word, and no option of mount(8)."""
        for kind in ("", "-a", "a b", "a,b", "../x"):
            self.assertIn("option type=", self.mount_refused(type=kind, device="x"))
