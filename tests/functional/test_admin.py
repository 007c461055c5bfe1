"""The admin's command and the daemon, both real."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

from tests.admin.command import admin, done, loaded, refused
from tests.process import UnixConnection, until

from .case import DaemonCase


class AdminCase(DaemonCase):
    """A daemon that runs."""

    def setUp(self) -> None:
        super().setUp()
        self.daemon.start()
        self.admin_socket = self.base / "run/admin.sock"


class VolumeTests(AdminCase):
    """exampledriver volume."""

    def test_socket(self) -> None:
        """The socket is root's alone, is no engine's, and goes with the daemon."""
        self.assertEqual(stat.S_IMODE(self.admin_socket.stat().st_mode), 0o600)
        connection = UnixConnection(self.admin_socket)
        self.addCleanup(connection.close)
        connection.request("POST", "/Plugin.Activate")
        self.assertEqual(connection.getresponse().status, 404)
        self.assertEqual(self.daemon.call("Admin.Names", None)[0], 404)
        self.daemon.stop()
        self.assertFalse(self.admin_socket.exists())

    def test_life(self) -> None:
        """A volume is made, listed, looked at and removed; what is refused says why."""
        done(self.daemon, "volume", "create", "db", "-o", "mode=0750")
        self.daemon.ok("Create", Name="other")
        (self.daemon.root / "db/file").write_bytes(b"x" * 100_000)
        self.assertEqual(done(self.daemon, "volume", "ls", "-q"), "db\nother\n")
        table = done(self.daemon, "volume", "ls").splitlines()
        self.assertEqual(table[0].split()[:4], ["NAME", "BACKEND", "MOUNTS", "HEALTH"])
        self.assertEqual(table[1].split()[:4], ["db", "directory", "0", "ok"])
        (shown,) = loaded(self.daemon, "volume", "inspect", "db", "--json")
        self.assertEqual(shown["Options"], {"mode": "0750"})
        (measured,) = loaded(self.daemon, "volume", "usage", "--fresh", "--json", "db")
        self.assertEqual(measured["Files"], 1)
        self.assertGreaterEqual(measured["Bytes"], 100_000)
        self.assertIn("sise", refused(self.daemon, "volume", "create", "x", "-o", "sise=1"))
        self.assertIn("give KEY=VALUE", refused(self.daemon, "volume", "create", "x", "-o", "a"))
        error = refused(self.daemon, "volume", "rm", "nix", "db")
        self.assertIn('volume "nix": no such volume', error)
        self.assertEqual(self.daemon.names(), ["other"])

    def test_json(self) -> None:
        """Each change is answered with JSON for programs, and nothing else on standard output."""
        archive = str(self.base / "a.tar")
        for words, name, value in (
            (("volume", "create", "db"), "Backend", "directory"),
            (("volume", "snapshot", "db", "--label", "a"), "Label", "a"),
            (("volume", "rollback", "db", "a"), "Label", "a"),
            (("volume", "snapshot-rm", "db", "a"), "Label", "a"),
            (("volume", "release", "db"), "Released", {}),
        ):
            found = loaded(self.daemon, *words, "--json")
            self.assertEqual((found["Name"], found[name]), ("db", value))
            self.assertNotIn("Err", found)
        done(self.daemon, "volume", "export", "db", archive)
        found = loaded(self.daemon, "volume", "import", "new", archive, "--json")
        self.assertEqual(found["Archive"]["Name"], "db")
        found = admin(self.daemon, "volume", "rm", "new", "nix", "--json")
        self.assertEqual(found.returncode, 1)
        self.assertEqual([one["Name"] for one in json.loads(found.stdout)], ["new"])
        self.assertEqual(loaded(self.daemon, "trash", "restore", "new", "--json")["Name"], "new")
        self.assertEqual(loaded(self.daemon, "volume", "ls", "-q", "--json"), ["db", "new"])
        done(self.daemon, "volume", "rm", "new")
        found = loaded(self.daemon, "trash", "purge", "--yes", "--json", "new")
        self.assertEqual([one["Name"] for one in found["Purged"]], ["new"])

    def test_wrong_socket(self) -> None:
        """Another socket, a file, another user, and a full disk are told apart."""
        for socket, text in (
            (str(self.daemon.socket), "another socket than the admin's"),
            (f"{self.base}/log", "is no socket"),
            (f"{self.base}/log/x", "Not a directory: start the daemon"),
            (f"{self.base}/{'x' * 120}", "AF_UNIX path too long: start the daemon"),
        ):
            error = refused(self.daemon, "volume", "ls", "--admin", socket)
            self.assertIn(f"exampledriver: {socket}: ", error)
            # An archive's way is not made before the daemon has answered.
            for words in (["export", "db", f"{self.base}/a.tar"], ["import", "db", "/etc/hosts"]):
                self.assertIn(text, refused(self.daemon, "volume", *words, "--admin", socket))
            self.assertFalse((self.base / "a.tar").exists())
            self.assertIn(text, error)

    def test_output_goes(self) -> None:
        """A reader that has seen enough is no error; a full disk is one, in one line."""
        for number in range(50):
            self.daemon.ok("Create", Name=f"v{number}")
        program = os.path.join(os.path.dirname(sys.executable), "exampledriver")
        words = f"{program} volume ls -q --admin {self.admin_socket}"
        for script, status, error in (
            (f"{words} | head -1; exit ${{PIPESTATUS[0]}}", 0, ""),
            (f"{words} | true; exit ${{PIPESTATUS[0]}}", 0, ""),
            (f"{words} >/dev/full", 1, "exampledriver: No space left on device\n"),
            (f"{words} >&-", 1, "exampledriver: Bad file descriptor\n"),
        ):
            found = self.script(script)
            self.assertEqual((found.returncode, found.stderr), (status, error))

    def script(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run a script; what is printed waits for the end, as it does for everybody."""
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
        return subprocess.run(
            ["bash", "-c", script], capture_output=True, text=True, env=environment
        )

    def test_closed(self) -> None:
        """Closed streams: an archive has nothing in it that people are told, or is refused."""
        self.daemon.ok("Create", Name="db")
        program = os.path.join(os.path.dirname(sys.executable), "exampledriver")
        export = f"{program} volume export db --admin {self.admin_socket}"
        archive = self.base / "a.tar"
        self.assertEqual(self.script(f"{export} >{archive} 2>&-").returncode, 0)
        done(self.daemon, "volume", "import", "copy", str(archive))
        link = self.base / "link"
        link.symlink_to(self.admin_socket)
        done(self.daemon, "volume", "export", "db", f"{archive}.2", "--admin", str(link))
        found = self.script(f"{export} >&-")
        self.assertEqual(
            (found.returncode, found.stderr),
            (1, "exampledriver: the archive: Bad file descriptor\n"),
        )
        found = self.script(f"{program} volume import new --admin {self.admin_socket} <&-")
        self.assertEqual(found.returncode, 1)
        self.assertIn("the archive is cut short", found.stderr)

    def test_no_trash(self) -> None:
        """What has no data here is not said to be in the trash."""
        done(self.daemon, "volume", "create", "t", "-o", "backend=tmpfs", "-o", "size=1M")
        found = admin(self.daemon, "volume", "rm", "t")
        self.assertEqual((found.returncode, found.stdout, found.stderr), (0, "t\n", ""))
        done(self.daemon, "volume", "create", "gone")
        (self.daemon.root / "gone").rmdir()
        self.assertEqual(admin(self.daemon, "volume", "rm", "gone").stderr, "")

    def test_release(self) -> None:
        """A count that nobody holds is shown and dropped."""
        self.daemon.ok("Create", Name="db")
        self.daemon.ok("Mount", Name="db", ID="c1")
        found = admin(self.daemon, "volume", "mounts")
        self.assertEqual(found.stdout.splitlines()[1].split(), ["db", "c1", "1", "nobody"])
        self.assertIn('"exampledriver volume release" drops that', found.stderr)
        self.assertIn("not counted", refused(self.daemon, "volume", "release", "db", "--id=c2"))
        self.assertEqual(done(self.daemon, "volume", "release", "db"), "db: 1 dropped of c1\n")
        self.assertEqual(loaded(self.daemon, "volume", "mounts", "--json"), [])

    def test_no_daemon(self) -> None:
        """Without a daemon the socket is named, and what to do."""
        self.daemon.kill()
        for socket, text in (
            (str(self.admin_socket), "no daemon listens there"),
            (f"{self.base}/nix", "there is no such socket"),
        ):
            error = refused(self.daemon, "volume", "ls", "--admin", socket)
            self.assertIn(f"{socket}: {text}: start the daemon", error)

    def test_elsewhere(self) -> None:
        """--admin puts the socket elsewhere, or leaves it out."""
        self.daemon.stop()
        self.daemon.options = [f"--admin={self.base}/a.sock"]
        self.daemon.start()
        self.assertTrue((self.base / "a.sock").is_socket())
        self.assertFalse(self.admin_socket.exists())
        self.daemon.stop()
        self.daemon.options = ["--admin=none"]
        self.daemon.start()
        self.assertEqual(list(self.base.glob("*/*.sock")), [self.daemon.socket])
        self.daemon.stop()
        self.daemon.options = [f"--admin={self.daemon.socket}"]
        self.assertIn("is given twice", self.refused(self.daemon))


class RegisterTests(AdminCase):
    """Volumes that Docker does not know, on a machine without Docker."""

    def test_no_docker(self) -> None:
        """The volume is made, and the command that registers it with Docker is printed."""
        found = admin(self.daemon, "volume", "create", "db", "-o", "mode=0750", "--label", "k=a b")
        self.assertEqual((found.returncode, found.stdout), (0, "db\n"), found.stderr)
        self.assertIn("docker.sock: there is no such socket; run: ", found.stderr)
        command = "docker volume create -d x -o mode=0750 --label 'k=a b' db\n"
        self.assertTrue(found.stderr.endswith(command), found.stderr)
        removed = admin(self.daemon, "volume", "rm", "db")
        self.assertEqual((removed.returncode, removed.stdout), (0, "db\n"), removed.stderr)
        self.assertNotIn("docker", removed.stderr)
        found = admin(self.daemon, "trash", "restore", "db", "--no-engine")
        self.assertEqual(found.stderr, f"to register it with Docker: {command}")
        kept = loaded(self.daemon, "volume", "labels", "--no-engine", "--json")
        self.assertEqual(kept, {"db": {"k": "a b"}})


class TrashTests(AdminCase):
    """exampledriver trash."""

    def gone(self, name: str) -> None:
        """Make a volume with a file, and remove it."""
        self.daemon.ok("Create", Name=name, Opts={"mode": "0750"})
        (self.daemon.root / name / "file").write_text("precious")
        self.daemon.ok("Remove", Name=name)

    def test_restore(self) -> None:
        """A removed volume comes back under its name or another, with options, and stays."""
        self.gone("db")
        (shown,) = loaded(self.daemon, "trash", "list", "--json")
        self.assertEqual((shown["Name"], shown["Options"]), ("db", {"mode": "0750"}))
        self.daemon.ok("Create", Name="db")
        self.assertIn("exists already", refused(self.daemon, "trash", "restore", "db"))
        self.assertEqual(done(self.daemon, "trash", "restore", "db", "--as", "old"), "old\n")
        self.assertIn("no removed volume", refused(self.daemon, "trash", "restore", "db"))
        self.daemon.kill()
        self.daemon.start()
        self.assertEqual(self.daemon.names(), ["db", "old"])
        self.assertEqual((self.daemon.root / "old/file").read_text(), "precious")
        (found,) = loaded(self.daemon, "volume", "inspect", "old")
        self.assertEqual(found["Options"], {"mode": "0750"})

    def test_purge(self) -> None:
        """Nothing is deleted unless somebody says yes; then only what is meant."""
        for name in ("a", "b"):
            self.gone(name)
        self.assertIn("nothing was deleted", refused(self.daemon, "trash", "purge"))
        done(self.daemon, "trash", "purge", "--yes", "--older-than", "1h")
        done(self.daemon, "trash", "purge", "--yes", "a")
        self.assertIn("no removed volume", refused(self.daemon, "trash", "purge", "--yes", "a"))
        (left,) = loaded(self.daemon, "trash", "list", "--json")
        self.assertEqual(left["Name"], "b")

    def test_client_goes(self) -> None:
        """A purge goes on when its client is gone, and a stop waits for it."""
        for number in range(20):
            self.gone(f"v{number}")
        connection = UnixConnection(self.admin_socket)
        connection.request("POST", "/Admin.Purge", json.dumps({"What": "all"}).encode())
        connection.getresponse().readline()
        connection.close()
        until(
            lambda: "Admin.Purge 'all': done in" in self.daemon.log(), "the purge's line in the log"
        )
        self.assertEqual(list(self.daemon.root.glob(".trash/[!.]*")), [])


class DefaultTests(AdminCase):
    """A configuration with defaults, which is newer than the volumes."""

    def test_not_for_copies(self) -> None:
        """Copies, and what comes from the trash or an archive, are what they are copies of."""
        for name in ("db", "old"):
            done(self.daemon, "volume", "create", name)
        done(self.daemon, "volume", "rm", "old")
        self.daemon.stop()
        config = self.base / "config.toml"
        config.write_text('[backends.directory]\nmode = "0711"\n')
        self.daemon.options = [f"--config={config}"]
        self.daemon.start()
        archive = str(self.base / "a.tar")
        done(self.daemon, "volume", "export", "db", archive)
        done(self.daemon, "volume", "import", "imported", archive)
        done(self.daemon, "trash", "restore", "old")
        for _ in range(2):
            done(self.daemon, "volume", "create", "clone", "-o", "from=db")
        done(self.daemon, "volume", "create", "new")
        for name, options, mode in (
            ("imported", {}, 0o755),
            ("old", {}, 0o755),
            ("clone", {"from": "db"}, 0o755),
            ("new", {"mode": "0711"}, 0o711),
        ):
            (shown,) = loaded(self.daemon, "volume", "inspect", name)
            self.assertEqual((name, shown["Options"]), (name, options))
            self.assertEqual(stat.S_IMODE((self.daemon.root / name).stat().st_mode), mode)


class MigrateTests(AdminCase):
    """exampledriver migrate."""

    def migrate(self, *words: str, status: int = 0) -> dict[str, dict[str, str]]:
        """Run a migration; return its volumes by name."""
        found = admin(self.daemon, "migrate", "--json", *words)
        self.assertEqual(found.returncode, status, found.stdout + found.stderr)
        return {one["name"]: one for one in json.loads(found.stdout)["volumes"]}

    def snapshot(self) -> list[tuple[str, int]]:
        """Return every path below the base but for sockets and logs, with its time."""
        return sorted(
            (str(path), path.lstat().st_mtime_ns)
            for path in self.base.rglob("*")
            if path.name not in ("log", "err", "run") and path.parent.name != "run"
        )

    def test_local_persist(self) -> None:
        """Names and directories are taken over; again, it is there already; a dry run is dry."""
        place = self.base / "srv/pg"
        place.mkdir(parents=True)
        (place / "file").write_text("precious")
        state = self.base / "state.json"
        state.write_text(json.dumps({"state": {"pg": str(place), "bad": "/proc/sys"}}))
        words = ["--from", "local-persist", "--state", str(state)]
        before = self.snapshot()
        found = self.migrate(*words, "--dry-run", status=1)
        self.assertEqual(found["pg"]["state"], "to do")
        self.assertIn("cannot live in /proc", found["bad"]["why"])
        self.assertEqual(self.snapshot(), before)
        self.assertEqual(self.daemon.names(), [])
        self.assertIn("nothing was done", refused(self.daemon, "migrate", *words))
        found = self.migrate(*words, "--yes", status=1)
        self.assertEqual((found["pg"]["state"], found["bad"]["state"]), ("done", "refused"))
        self.assertEqual(self.daemon.ok("Path", Name="pg")["Mountpoint"], str(place))
        self.assertEqual(self.migrate(*words, "--yes", "pg")["pg"]["state"], "there already")
        self.assertEqual((place / "file").read_text(), "precious")

    def test_other_default(self) -> None:
        """What is not asked for by its kind becomes a directory, whatever is the default."""
        config = self.base / "config.toml"
        config.write_text('[backends]\ndefault = "image"\n')
        self.daemon.stop()
        self.daemon.options = [f"--config={config}"]
        self.daemon.start()
        (self.base / "pg").mkdir()
        state = self.base / "state.json"
        state.write_text(json.dumps({"state": {"pg": f"{self.base}/pg"}}))
        found = self.migrate("--from", "local-persist", "--state", str(state), "--yes")
        self.assertEqual(found["pg"]["state"], "done")
        words = ["--from", "docker-local", "--docker-root", str(self.docker()), "--yes"]
        found = self.migrate(*words)
        self.assertEqual({one["state"] for one in found.values()}, {"done"})

    def test_secret(self) -> None:
        """A password goes into a file; again, the volume is there already. Paths are from here."""
        root = self.base / "docker"
        (root / "volumes/share").mkdir(parents=True)
        options = {"MountType": "cifs", "MountOpts": "password=x", "MountDevice": "//h/s"}
        (root / "volumes/share/opts.json").write_text(json.dumps(options))
        # The command is run in the directory "/".
        words = ["--docker-root", str(root)[1:], "--credentials", f"{self.base}/secrets"[1:]]
        for state in ("done", "there already"):
            found = self.migrate("--from", "docker-local", *words, "--yes")
            self.assertEqual((found["share"]["state"], found["share"]["why"]), (state, ""))
        self.assertEqual((self.base / "secrets/share").read_text(), "password=x\n")

    def docker(self) -> Path:
        """Make what Docker's own driver has: two volumes, one of them bound."""
        root = self.base / "docker"
        data = root / "volumes/db/_data"
        data.mkdir(parents=True)
        (data / "file").write_text("precious")
        (root / "volumes/bound/_data").mkdir(parents=True)
        options = {"MountType": "none", "MountOpts": "bind", "MountDevice": str(self.base / "b")}
        (root / "volumes/bound/opts.json").write_text(json.dumps(options))
        return root

    def test_copy(self) -> None:
        """Docker's volumes are copied, and are still there."""
        root = self.docker()
        words = ["--from", "docker-local", "--docker-root", str(root)]
        before = self.snapshot()
        self.assertEqual(self.migrate(*words, "--dry-run")["db"]["what"], "copy")
        self.assertEqual(self.snapshot(), before)
        found = self.migrate(*words, "--yes")
        self.assertEqual({one["state"] for one in found.values()}, {"done"})
        self.assertEqual((self.daemon.root / "db/file").read_text(), "precious")
        self.assertEqual((root / "volumes/db/_data/file").read_text(), "precious")
        self.assertEqual(self.daemon.ok("Path", Name="bound")["Mountpoint"], str(self.base / "b"))
        again = self.migrate(*words, "--yes")
        self.assertEqual({one["state"] for one in again.values()}, {"there already"})

    def test_adopt(self) -> None:
        """Adopted, the data is moved, so that Docker's rm finds nothing to delete."""
        root = self.docker()
        words = ["--from", "docker-local", "--adopt", "--docker-root", str(root), "--yes", "db"]
        inode = (root / "volumes/db/_data/file").stat().st_ino
        self.assertEqual(self.migrate(*words)["db"]["state"], "done")
        self.assertEqual((self.daemon.root / "db/file").stat().st_ino, inode)
        self.assertFalse((root / "volumes/db/_data").exists())
        self.assertEqual(self.migrate(*words)["db"]["state"], "there already")
        self.daemon.kill()
        self.daemon.start()
        self.assertEqual(self.daemon.names(), ["db"])

    def test_adopt_unanswered(self) -> None:
        """What was moved by a daemon that was killed before its journal knew is adopted."""
        root = self.docker()
        os.rename(root / "volumes/db/_data", self.daemon.root / "db")
        words = ["--from", "docker-local", "--adopt", "--docker-root", str(root), "--yes", "db"]
        self.assertEqual(self.migrate(*words)["db"]["state"], "done")
        self.assertEqual(self.daemon.names(), ["db"])
        self.assertEqual((self.daemon.root / "db/file").read_text(), "precious")

    def test_half(self) -> None:
        """When one cannot be done the others are, and it is said which."""
        root = self.docker()
        (self.daemon.root / "db").mkdir()
        words = ["--from", "docker-local", "--docker-root", str(root), "--yes"]
        found = admin(self.daemon, "migrate", *words)
        self.assertEqual(found.returncode, 1)
        self.assertIn("is in the way", found.stdout)
        self.assertIn("1 done, 1 failed", found.stderr)
        self.assertIn("run the same command again", found.stderr)
        (self.daemon.root / "db").rmdir()
        states = {name: one["state"] for name, one in self.migrate(*words).items()}
        self.assertEqual(states, {"db": "done", "bound": "there already"})

    def test_owner(self) -> None:
        """A copy keeps modes and times."""
        root = self.docker()
        data = root / "volumes/db/_data"
        os.chmod(data, 0o711)
        self.migrate("--from", "docker-local", "--docker-root", str(root), "--yes")
        copied = (self.daemon.root / "db").stat()
        self.assertEqual(stat.S_IMODE(copied.st_mode), 0o711)
        self.assertEqual(copied.st_mtime_ns, data.stat().st_mtime_ns)
