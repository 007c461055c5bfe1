"""Stages: nothing under the final name until all of it is there, and nothing left behind."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from exampledriver.backends.copying import staging
from exampledriver.backends.copying.staging import Stage, clear_stages, remove_tree
from exampledriver.backends.trash import Trash
from exampledriver.volumes.errors import BusyError

from .forest import dig


class StagingTests(SynchronousTestCase):
    """Stage, clear_stages and remove_tree."""

    def setUp(self) -> None:
        self.base = Path(os.path.realpath(self.mktemp()))
        self.base.mkdir()
        self.final = self.base / "db"

    def crash(self) -> None:
        """Leave what a process leaves that was killed with a stage half full."""
        directory = Stage(self.final).directory
        (directory / "content/a").mkdir(parents=True)
        (directory / "content/a/b").touch()

    def test_order(self) -> None:
        """The file system is synced, then the name given, then its directory synced."""
        calls: list[str] = []

        def note(name: str) -> None:
            function = getattr(staging, name)

            def noted(*args: object) -> None:
                calls.append(name)
                function(*args)

            self.patch(staging, name, noted)

        for name in ("sync_filesystem", "rename_new", "sync"):
            note(name)
        with Stage(self.final) as stage:
            stage.content.mkdir()
            stage.publish()
        self.assertEqual(calls, ["sync_filesystem", "rename_new", "sync"])
        self.assertEqual(os.listdir(self.base), ["db"])

    def test_unpublished(self) -> None:
        """A stage that is left by an error leaves nothing."""

        def fail() -> None:
            with Stage(self.final) as stage:
                stage.content.mkdir()
                (stage.content / "x").touch()
                raise ZeroDivisionError

        self.assertRaises(ZeroDivisionError, fail)
        self.assertEqual(os.listdir(self.base), [])

    def test_nothing_replaced(self) -> None:
        """What has the name stays, even an empty directory."""
        with Stage(self.final) as stage:
            stage.content.mkdir()
            (stage.content / "x").touch()
            self.final.mkdir()
            self.assertRaises(FileExistsError, stage.publish)
        self.assertEqual(os.listdir(self.final), [])
        self.assertEqual(os.listdir(self.base), ["db"])

    def test_again(self) -> None:
        """The same work again clears what a crash left of it."""
        self.crash()
        with Stage(self.final) as stage:
            self.assertEqual(os.listdir(stage.directory), [])
            stage.content.mkdir()
            stage.publish()
        self.assertEqual(os.listdir(self.base), ["db"])

    def test_clear(self) -> None:
        """What crashes left is cleared; a stage in use is not, nor anything else."""
        self.crash()
        (self.base / "volume").mkdir()
        with Stage(self.base / "other") as stage:
            self.assertEqual(clear_stages(self.base), [Stage(self.final).directory])
            self.assertTrue(stage.directory.is_dir())
        self.assertEqual(os.listdir(self.base), ["volume"])
        self.assertEqual(clear_stages(self.base / "missing"), [])

    def test_busy(self) -> None:
        """Two cannot do the same work at the same time."""
        with Stage(self.final):
            error = self.assertRaises(BusyError, Stage(self.final).__enter__)
        self.assertIn(str(self.final), str(error))
        with Stage(self.final):
            pass

    def test_purge_depth(self) -> None:
        """A removed volume is purged however deep its directories are."""
        trash = Trash(self.base)
        (self.base / "db").mkdir()
        dig(self.base / "db", 1500)
        trash.put(self.base / "db", b"{}")
        self.assertEqual(trash.purge(timedelta(0)), 1)
        self.assertEqual(os.listdir(trash.path), [])

    def test_remove_follows_nothing(self) -> None:
        """Deleting a tree follows no link, and what is missing is no error."""
        (self.base / "kept").mkdir()
        (self.base / "kept/file").touch()
        (self.base / "tree/sub").mkdir(parents=True)
        os.symlink(self.base / "kept", self.base / "tree/sub/link")
        os.symlink(self.base / "kept", self.base / "link")
        os.chmod(self.base / "tree/sub", 0)
        for name in ("tree", "link", "missing"):
            remove_tree(self.base / name)
        self.assertEqual(os.listdir(self.base), ["kept"])
        self.assertEqual(os.listdir(self.base / "kept"), ["file"])
