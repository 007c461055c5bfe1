"""What no Create may have in its options: secrets, and plain mistakes; and Podman's spellings."""

from __future__ import annotations

import time
from collections.abc import Mapping

from twisted.trial.unittest import SynchronousTestCase

from exampledriver.backends.clones import clone_options
from exampledriver.backends.kinds import KNOWN, OPTIONS, Choice, judge
from exampledriver.volumes.errors import InvalidOptionError
from tests.secret_forms import SECRET, VALUES, options

from .test_kinds import GOOD


class GivenCase(SynchronousTestCase):
    """A choice of backends without a configuration."""

    choice = Choice()

    def parse(self, **given: str) -> Mapping[str, str]:
        """Return the canonical options of a Create."""
        return self.choice.parse("db", given).options

    def refused(self, given: Mapping[str, str]) -> str:
        """Return the error's text: one bounded line that can be printed."""
        error = self.assertRaises(InvalidOptionError, self.choice.parse, "db", given)
        text = str(error)
        self.assertLess(len(text), 1000)
        self.assertTrue(text.replace("…", "").isprintable(), text)
        return text


class SecretTests(GivenCase):
    """A secret is refused in every option of every backend, and no error repeats it."""

    def test_values(self) -> None:
        """Every form in every option, also with options that make the Create good."""
        for backend, good in GOOD.items():
            for key in sorted(OPTIONS[backend] | {"backend", "label"}):
                for value in VALUES:
                    text = self.refused({"backend": backend, **good, key: value})
                    self.assertNotIn(SECRET, text)
                    self.assertIn("give credentials-file=/path", text)

    def test_names(self) -> None:
        """Options that are a secret by their name."""
        for backend, good in GOOD.items():
            for key, value in options():
                text = self.refused({"backend": backend, **good, key: value})
                self.assertNotIn(SECRET, text)
                self.assertIn("give credentials-file=/path", text)

    def test_first(self) -> None:
        """A secret is refused before any other mistake, whose error might repeat it."""
        for given in ({"backend": "password=hunter2"}, {"sise": "u:hunter2@h", "backend": "zfs"}):
            self.assertNotIn(SECRET, self.refused(given))
        error = self.assertRaises(
            InvalidOptionError, self.choice.parse, "db", {"password": SECRET}, whole=True
        )
        self.assertNotIn(SECRET, str(error))

    def test_journal(self) -> None:
        """A journal of an older version that has one is read: the volume is used as before."""
        judge("mount", {"type": "cifs", "device": "//h/s,password=hunter2", "o": "token=hunter2"})
        judge("directory", {"mountpoint": "/srv/x,uid=1 "})


class MistakeTests(GivenCase):
    """What is plainly not what was meant."""

    def test_blanks(self) -> None:
        """A blank at either end of a value would be another directory, or fail at Mount."""
        cifs = {"backend": "mount", "type": "cifs", "device": "//a/b"}
        for given in (
            {"mountpoint": "/srv/x "},
            {"mountpoint": "/srv/x\t"},
            {"mountpoint": "/srv/x\u00a0"},
            {"backend": "image", "size": "1G "},
            {**cifs, "device": "//a/b "},
            {**cifs, "subpath": "a "},
            {**cifs, "subpath": "./ a"},
            {**cifs, "subpath": "a /."},
            {"mountpoint": "/srv/x /"},
            {"mountpoint": "/srv/x //.//"},
            {**cifs, "credentials-file": "/etc/c\n"},
            {**cifs, "o": " soft"},
        ):
            self.assertIn("begins or ends with whitespace", self.refused(given))
        for key, value in (("o", "soft, ro"), ("o", "soft ,ro"), ("cifsopts", "a,\tb")):
            text = self.refused({**cifs, key: value})
            self.assertIn("whitespace next to a comma", text)
        self.assertEqual(self.parse(mountpoint="/srv/a b"), {"mountpoint": "/srv/a b"})

    def test_two_in_one(self) -> None:
        """Two options in one are shown how to be given."""
        nfs = {"backend": "mount", "type": "nfs", "device": "h:/x"}
        for given, key, second in (
            ({"uid": "1,gid=2"}, "uid", "gid"),
            ({"uid": "1 gid=2"}, "uid", "gid"),
            ({"uid": "1 -o gid=2"}, "uid", "gid"),
            ({"mountpoint": "/srv/x,uid=1"}, "mountpoint", "uid"),
            ({"mountpoint": "/srv/x;mode=1"}, "mountpoint", "mode"),
            ({"backend": "image,size=1G"}, "backend", "size"),
            ({**nfs, "device": "h:/x,o=soft"}, "device", "o"),
            ({**nfs, "o": "soft device=h:/x"}, "o", "device"),
            ({**nfs, "o": "soft,device=h:/x"}, "o", "device"),
        ):
            self.assertIn(f"-o {key}=… -o {second}=…", self.refused(given))
        self.assertEqual(self.parse(**nfs, o="soft,mode=1,uid=2")["o"], "soft,mode=1,uid=2")
        remote = {**nfs, "type": "fuse.rclone", "device": ":s3,type=x,size=1:b"}
        self.assertEqual(self.parse(**remote)["device"], ":s3,type=x,size=1:b")
        self.assertEqual(self.parse(mountpoint="/srv/a,b=c")["mountpoint"], "/srv/a,b=c")

    def test_long(self) -> None:
        """What is longer than any path is refused, and no error repeats it."""
        for backend, good in GOOD.items():
            for key in sorted(OPTIONS[backend]):
                self.refused({"backend": backend, **good, key: "/" + "x" * 9000})
        self.refused({"x" * 9000: "y"})
        text = self.refused({"o": "u:" + SECRET * 1000 + "@host"})
        self.assertNotIn(SECRET, text)
        self.refused({"backend": "x" * 9000})

    def test_quick(self) -> None:
        """An option that is as long as may be is looked through in a moment."""
        for value in ("a" + " " * 4000 + "b", "a=@" + "\\" * 4000, "a" + ", " * 2000 + "b"):
            began = time.process_time()
            self.refused({"uid": value})
            self.assertLess(time.process_time() - began, 0.2, value[:9])


class PodmanTests(GivenCase):
    """``o=uid=1000`` of Podman, with its copies in capitals."""

    def test_owner(self) -> None:
        """Each spelling is the same volume as -o uid=1000."""
        for given in (
            {"o": "uid=1000", "UID": "1000"},
            {"o": "uid=1000"},
            {"UID": "1000"},
            {"uid": "1000", "UID": "01000"},
            {"o": "UID=1000", "UID": "1000"},
        ):
            self.assertEqual(
                self.choice.parse("db", given), self.choice.parse("db", {"uid": "1000"})
            )
        found = self.parse(o="uid=1,gid=2,mode=700,size=1024M", UID="1", GID="2", SIZE="1G")
        self.assertEqual(found, {"gid": "2", "mode": "0700", "size": "1G", "uid": "1"})

    def test_each_backend(self) -> None:
        """image, tmpfs and btrfs take them too."""
        for backend in ("image", "tmpfs", "btrfs"):
            plain = self.parse(backend=backend, size="1G", uid="5")
            self.assertEqual(self.parse(backend=backend, o="size=1G,uid=5", SIZE="1G"), plain)

    def test_default(self) -> None:
        """Options in o go before the configuration's defaults."""
        self.choice = Choice(("image",), "image", {"image": {"size": "1G", "uid": "7"}})
        self.assertEqual(self.parse(o="size=2G"), {"fs": "ext4", "size": "2G", "uid": "7"})

    def test_conflict(self) -> None:
        """Two that say different things are refused."""
        for given in (
            {"o": "uid=1", "UID": "2"},
            {"o": "uid=1,uid=2"},
            {"uid": "1", "o": "uid=2"},
            {"uid": "1", "UID": "2"},
            {"size": "1G", "o": "size=1M"},
        ):
            self.assertIn("is given twice", self.refused(given))

    def test_others(self) -> None:
        """What else is in o is named, with the backend that has it; a wrong value too."""
        text = self.refused({"o": "uid=1,soft", "UID": "1"})
        self.assertIn('"soft" is not for backend directory, whose o takes gid=, mode=, size=', text)
        self.assertIn("add -o backend=mount", text)
        self.assertIn('option o="root": give a number', self.refused({"o": "uid=root"}))
        self.assertIn('option UID="root": give a number', self.refused({"UID": "root"}))
        text = self.refused({"type": "nfs", "device": "h:/x", "o": "addr=h"})
        self.assertIn("add -o backend=mount", text)

    def test_mount(self) -> None:
        """For mount, o is mount(8)'s; copies in capitals say the same, or are refused."""
        cifs = {"backend": "mount", "type": "cifs", "device": "//h/s"}
        found = self.parse(**cifs, o="uid=5,vers=3", UID="5")
        self.assertEqual(found, self.parse(**cifs, o="uid=5,vers=3"))
        self.assertIn("give uid= in o", self.refused({**cifs, "UID": "5"}))
        self.assertIn("give uid= in o", self.refused({**cifs, "UID": "5", "o": "uid=6"}))

    def test_clone(self) -> None:
        """A clone takes them, too."""
        found = clone_options("c", "image", {"size": "1G", "fs": "xfs"}, {"o": "size=2G,uid=5"})
        self.assertEqual(found, {"backend": "image", "fs": "xfs", "size": "2G", "uid": "5"})
        self.assertRaises(
            InvalidOptionError, clone_options, "c", "image", {"size": "2G"}, {"o": "size=1G"}
        )

    def test_known(self) -> None:
        """Every option of every backend is one that a second option is looked for by."""
        self.assertLessEqual(set().union(*OPTIONS.values()), KNOWN)
