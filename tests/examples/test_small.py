"""The rest of the examples that needs no engine: options of networks, files of secrets."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from exampledriver.plugin import PluginError
from exampledriver.plugin.secret import GetSecret
from examples import secretfiles
from examples.network.lan import bridge_name, pair_names, read_vxlan
from examples.network.links import Vxlan, vxlan_name
from tests.process import remove_directory, short_directory


class OptionTests(SynchronousTestCase):
    """``docker network create -o``."""

    def test_vxlan(self) -> None:
        """A VXLAN has a number, this host's address and its peers'."""
        self.assertEqual(read_vxlan({}), None)
        options = {"vxlan": "42", "local": "192.0.2.1", "peers": "192.0.2.2,192.0.2.3"}
        self.assertEqual(read_vxlan(options), Vxlan(42, "192.0.2.1", ("192.0.2.2", "192.0.2.3")))
        for changes, why in (
            ({"vlan": "1"}, "'vlan' is not known; known: vxlan, local, peers, port"),
            ({"vxlan": "0"}, "1 to 16777215"),
            ({"vxlan": "x"}, "invalid literal"),
            ({"port": "65536"}, "1 to 65535"),
            ({"local": "here"}, "Expected 4 octets"),
            ({"peers": ""}, "cannot be empty"),
        ):
            error = self.assertRaises(PluginError, read_vxlan, {**options, **changes})
            self.assertIn(why, str(error))
        error = self.assertRaises(PluginError, read_vxlan, {"vxlan": "42"})
        self.assertIn("'local' is missing", str(error))

    def test_names(self) -> None:
        """Names of links are at most 15 characters long, and none is another's."""
        names = [bridge_name("a" * 64), vxlan_name(bridge_name("a" * 64)), *pair_names("a" * 64)]
        self.assertEqual(len(set(names)), 4)
        self.assertTrue(all(len(name) <= 15 for name in names))


class SecretFileTests(SynchronousTestCase):
    """A directory of secrets."""

    def setUp(self) -> None:
        self.root = short_directory()
        self.addCleanup(remove_directory, self.root)
        self.patch(secretfiles, "ROOT", self.root)

    def refused(self, name: str) -> str:
        """Return why a secret is refused."""
        get = secretfiles.SecretFiles().get_secret
        return str(self.assertRaises(PluginError, get, GetSecret(name)))

    def test_value(self) -> None:
        """A secret's bytes are the file's, of up to 500 KiB, and asked for each time."""
        for size in (1, 511_999):
            (self.root / "db").write_bytes(os.urandom(size))
            found = secretfiles.SecretFiles().get_secret(GetSecret("db"))
            self.assertEqual(found.value, (self.root / "db").read_bytes())
            self.assertTrue(found.do_not_reuse)
        (self.root / "db").write_bytes(bytes(512_000))
        self.assertIn("1 to 511999 bytes", self.refused("db"))
        (self.root / "db").write_bytes(b"")
        self.assertIn("1 to 511999 bytes", self.refused("db"))

    def test_confined(self) -> None:
        """No name leads out of the directory, through a link, or to what is no file."""
        (self.root / "link").symlink_to("/etc/passwd")
        (self.root / "directory").mkdir()
        os.mkfifo(self.root / "fifo")
        for name in ("../x", "/etc/passwd", "a/b", "..", ".", ".hidden", "a\0b", ""):
            self.assertNotEqual(self.refused(name), "")
        self.assertIn("symbolic link", self.refused("link"))
        self.assertIn("no regular file", self.refused("directory"))
        self.assertIn("no regular file", self.refused("fifo"))
        self.assertIn("No such file", self.refused("nothing"))

    def test_directory(self) -> None:
        """A directory that others may enter keeps no secrets."""
        (self.root / "db").write_bytes(b"x")
        self.root.chmod(0o750)
        self.assertIn("chmod 0700", self.refused("db"))
        self.root.chmod(0o700)
        link = Path(f"{self.root}.link")
        link.symlink_to(self.root)
        self.addCleanup(link.unlink)
        self.patch(secretfiles, "ROOT", link)
        self.assertIn("Not a directory", self.refused("db"))
