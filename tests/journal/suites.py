"""Interface suites, run against the real thing and against its fake.

They are kept out of the test modules, where trial would run them on their own.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from exampledriver.journal.interfaces import IFile, IFiles


class FilesSuite(SynchronousTestCase):
    """What the journal expects of its files."""

    def files(self) -> IFiles:
        """Return an empty directory's files."""
        raise NotImplementedError

    def test_interfaces(self) -> None:
        """Both kinds provide the interfaces."""
        files = self.files()
        verifyObject(IFiles, files)
        verifyObject(IFile, files.create("a"))

    def test_write_and_read(self) -> None:
        """What is appended is read, in order."""
        files = self.files()
        file = files.create("a")
        file.write(b"one,")
        file.write(b"two")
        file.sync()
        file.close()
        self.assertEqual(files.read("a"), b"one,two")
        again = files.append("a")
        again.write(b",three")
        again.close()
        self.assertEqual(files.read("a"), b"one,two,three")

    def test_truncate(self) -> None:
        """After a truncation, writing goes on at the new end."""
        files = self.files()
        file = files.create("a")
        file.write(b"0123456789")
        file.truncate(4)
        file.write(b"x")
        file.close()
        self.assertEqual(files.read("a"), b"0123x")

    def test_create_empties(self) -> None:
        """Creating a file that is there empties it."""
        files = self.files()
        first = files.create("a")
        first.write(b"old")
        first.close()
        files.create("a").close()
        self.assertEqual(files.read("a"), b"")

    def test_rename_replaces(self) -> None:
        """A rename replaces; an open file goes on under its new name."""
        files = self.files()
        files.create("a").close()
        file = files.create("b")
        files.rename("b", "a")
        files.sync_directory()
        file.write(b"b")
        file.close()
        self.assertEqual(files.names(), {"a"})
        self.assertEqual(files.read("a"), b"b")

    def test_remove(self) -> None:
        """A removed file is gone, and what is not there is an error."""
        files = self.files()
        files.create("a").close()
        files.remove("a")
        self.assertEqual(files.names(), set())
        for call in (files.read, files.append, files.remove):
            self.assertRaises(FileNotFoundError, call, "a")
        self.assertRaises(FileNotFoundError, files.rename, "a", "b")

    def test_link(self) -> None:
        """A link is a second name of the same file, which a rename of the first one leaves."""
        files = self.files()
        files.create("a").write(b"a")
        files.link("a", "kept")
        files.create("b").write(b"b")
        files.rename("b", "a")
        self.assertEqual((files.read("a"), files.read("kept")), (b"b", b"a"))

    def test_current(self) -> None:
        """An open file is current until its name is removed, or means another file."""
        files = self.files()
        file = files.create("a")
        self.assertTrue(files.is_current("a", file))
        files.create("b").close()
        files.rename("b", "a")
        self.assertFalse(files.is_current("a", file))
        files.remove("a")
        self.assertFalse(files.is_current("a", file))
        files.renew()
        self.assertTrue(files.is_current("a", files.create("a")))
