"""``exampledriver doctor`` on a real daemon's installation, with faults put in one by one."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path
from threading import Event, Thread
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from exampledriver.cli.checks import Installation
from exampledriver.cli.checks.files import journal
from tests.cli.doctor import doctor, examine, found, healthy
from tests.process import Daemon, remove_directory, short_directory, until

#: Only root sees what other processes have mounted.
NOT_MADE = set() if os.geteuid() == 0 else {"counts"}


class DoctorCase(SynchronousTestCase):
    """A daemon with a volume."""

    def setUp(self) -> None:
        self.base = short_directory()
        self.addCleanup(remove_directory, self.base)
        self.daemon = Daemon(self.base)
        self.addCleanup(self.daemon.close)
        self.daemon.start()
        self.daemon.ok("Create", Name="db", Opts={"mode": "0750"})
        self.plugins = self.daemon.socket.parent
        self.etc = self.base / "etc"
        self.etc.mkdir()

    def options(self) -> list[str]:
        """Return the options for an installation without Docker."""
        return ["--docker=none", f"--plugin-dir={self.plugins}", f"--plugin-dir={self.etc}"]

    def examine(self, *options: str) -> dict[str, Any]:
        """Return doctor's report."""
        report = examine(self.daemon, *self.options(), *options)
        left = [entry for entry in report["not_made"] if entry["check"] not in NOT_MADE]
        if not left and not any(f["severity"] == "problem" for f in report["findings"]):
            report["status"] = 0
        return {**report, "not_made": left}

    def found(self, check: str, severity: str = "problem", *options: str) -> dict[str, str]:
        """Return the one finding, which is of that check; there is no other."""
        report = self.examine(*options)
        self.assertEqual([f["check"] for f in report["findings"]], [check], report)
        return found(report, check, severity)

    def mended(self, fix: str) -> None:
        """Do what a fix says, in a shell as its reader would, and see that nothing is left."""
        subprocess.run(["sh", "-ec", fix], check=True, cwd=self.base, capture_output=True)
        healthy(self.examine())


class TrashTests(DoctorCase):
    """What is in the trash."""

    def test_partly_deleted(self) -> None:
        """What a purge has begun to delete is named, and where it is."""
        slot = self.daemon.root / ".trash/20260101T000000.000000Z.deleting"
        (slot / "db").mkdir(parents=True)
        finding = self.found("directories", "note")
        self.assertEqual(finding["what"], f"{slot} is partly deleted")
        shutil.rmtree(slot)
        healthy(self.examine())


class HealthyTests(DoctorCase):
    """Nothing is wrong."""

    def test_healthy(self) -> None:
        """Nothing is found, whatever has been done, and all is looked at."""
        self.daemon.ok("Create", Name="other", Opts={"mountpoint": str(self.base / "other")})
        self.daemon.ok("Create", Name="gone")
        (self.daemon.root / "gone/file").write_text("")
        self.daemon.ok("Remove", Name="gone")
        compose = self.base / "compose.yaml"
        compose.write_text("volumes: {db: {name: db, driver: x, driver_opts: {mode: '750'}}}")
        report = self.examine(f"--compose={compose}")
        healthy(report)
        checks = {"sockets", "specs", "modes", "disk", "journal", "directories", "compose"}
        self.assertLessEqual(checks, set(report["checks"]))
        self.daemon.stop()
        self.daemon.start()
        healthy(self.examine())

    def test_text(self) -> None:
        """People get a last line that says so."""
        text = doctor(self.daemon, *self.options())[1]
        self.assertTrue(text.startswith("NOT MADE" if NOT_MADE else "healthy: "), text)
        self.assertIn(f"{8 - len(NOT_MADE)} checks made", text.splitlines()[-1])

    def test_changes_nothing(self) -> None:
        """No file below the installation is changed."""

        def files() -> dict[Path, tuple[int, int, int]]:
            seen = {path: path.lstat() for path in self.base.rglob("*") if path.name != "log"}
            return {path: (s.st_mtime_ns, s.st_mode, s.st_size) for path, s in seen.items()}

        journal = self.daemon.state / "journal"

        def settled() -> bool:
            last = journal.read_bytes().splitlines()[-1]
            generations = re.findall(rb'"generation":([0-9]+)', journal.read_bytes())
            return b".settled" in last and generations[-1] == max(generations, key=int)

        until(settled, "what the daemon writes by itself")
        before = files()
        self.examine()
        self.assertEqual(files(), before)

    def test_start_under_doctor(self) -> None:
        """A doctor that looks again and again keeps no daemon from starting, and finds no damage.

        Volumes are made meanwhile: a journal that is being written to is not damaged.
        """
        at = Installation(
            "x",
            self.daemon.root,
            self.daemon.state,
            self.base / "run",
            self.daemon.socket,
            [],
            None,
        )
        end, looks = Event(), []

        def look() -> None:
            while not end.is_set():
                looks.append(list(journal(at)))

        thread = Thread(target=look)
        thread.start()
        try:
            for start in range(3):
                self.daemon.stop()
                self.daemon.start()
                for number in range(50):
                    self.daemon.ok("Create", Name=f"v{start}-{number}")
        finally:
            end.set()
            thread.join()
        self.assertGreater(len(looks), 3)
        self.assertEqual([found for found in looks if found], [])


class ActivatedTests(SynchronousTestCase):
    """A daemon behind a socket that somebody else made, as systemd does."""

    def test_activated(self) -> None:
        """The daemon is told from who made its socket, by its lock file; nothing is found."""
        base = short_directory()
        self.addCleanup(remove_directory, base)
        daemon = Daemon(base)
        self.addCleanup(daemon.close)
        daemon.socket.parent.mkdir()
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(daemon.socket))
            daemon.socket.chmod(0o600)
            listening.listen()
            descriptor = listening.fileno()
            # It is passed as number 3, to the process of that id.
            daemon.descriptors = [descriptor]
            script = f'exec 3<&{descriptor}; export LISTEN_PID=$$; exec "$@"'
            daemon.environment = {"LISTEN_FDS": "1", "LISTEN_FDNAMES": "x"}
            daemon.prefix = ["bash", "-c", script, "activate"]
            places = {"root": daemon.root, "state": daemon.state, "runtime": base / "run"}
            words = [f"--{option}={path}" for option, path in places.items()]
            daemon.command = [*daemon.runner, "--listen=systemd:", *words]
            process = daemon.spawn()
            until(daemon.answers, "an answer")
            at = Installation("x", daemon.root, daemon.state, base / "run", daemon.socket, [], None)
            self.assertEqual(at.pid(), process.pid)
            report = examine(daemon, "--docker=none", f"--plugin-dir={daemon.socket.parent}")
            self.assertEqual(report["findings"], [])


class SocketTests(DoctorCase):
    """The plugin directories."""

    def listen(self, name: str) -> socket.socket:
        """Return a listening socket in the plugin directory."""
        listening = socket.socket(socket.AF_UNIX)
        self.addCleanup(listening.close)
        listening.bind(str(self.plugins / name))
        (self.plugins / name).chmod(0o600)
        listening.listen(1)
        return listening

    def test_dead(self) -> None:
        """A dead socket of another plugin is found, also one in a directory of its own."""
        self.listen("a.sock").close()
        finding = self.found("sockets")
        self.assertIn("15 s", finding["why"])
        self.assertIn(f"nobody listens behind {self.plugins}/a.sock", finding["what"])
        self.mended(finding["fix"])
        (self.plugins / "b").mkdir()
        self.listen("b/b.sock").close()
        self.assertIn("b/b.sock", self.found("sockets")["what"])

    def test_own_dead(self) -> None:
        """The driver's own is found dead after a kill, with the command that starts it."""
        self.daemon.kill()
        fix = self.found("sockets")["fix"]
        self.assertIn(f"twistd --pidfile= exampledriver --name=x --root={self.daemon.root}", fix)

    def test_stopped(self) -> None:
        """A driver that does not run is found; all else is looked at in its files."""
        self.daemon.stop()
        finding = self.found("sockets")
        self.assertIn("there is no socket", finding["what"])
        self.assertIn("twistd", finding["fix"])

    def test_silent(self) -> None:
        """Sockets that accept and are silent are found at once, with who it is."""
        listening = [self.listen(f"silent{number}.sock") for number in range(4)]
        full = self.listen("full.sock")
        full.listen(0)
        clients = [socket.socket(socket.AF_UNIX) for _ in range(3)]
        for client in clients:
            self.addCleanup(client.close)
            client.setblocking(False)
            try:
                client.connect(str(self.plugins / "full.sock"))
            except BlockingIOError:
                break
        begin = time.monotonic()
        report = self.examine()
        self.assertLess(time.monotonic() - begin, 10)
        findings = [f for f in report["findings"] if "does not answer" in f["what"]]
        self.assertEqual(len(findings), len(listening) + 1, report)
        for finding in findings:
            self.assertIn("hangs", finding["why"])
        silent = next(f for f in findings if "silent0" in f["what"])
        self.assertIn(f"process {os.getpid()} (", silent["what"])
        self.assertIn(f"kill -9 {os.getpid()}", silent["fix"])

    def answer(self, data: bytes) -> None:
        """Answer whoever connects with bytes, at a socket of another plugin."""
        listening = self.listen("odd.sock")
        listening.settimeout(20)

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(data)

        thread = Thread(target=serve)
        thread.start()
        self.addCleanup(thread.join)

    def test_no_plugin(self) -> None:
        """What answers and is no plugin is found."""
        self.answer(b"SSH-2.0-OpenSSH\r\n")
        self.assertIn("does not answer as a plugin", self.found("sockets")["what"])

    def test_error(self) -> None:
        """An error in place of the activation is found."""
        self.answer(b"HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\n{}")
        self.assertIn("does not answer as a plugin", self.found("sockets")["what"])

    def test_twice(self) -> None:
        """One name at two places is found, with the one that Docker uses."""
        (self.etc / "x.spec").write_text(f"unix://{self.daemon.socket}\n")
        finding = self.found("sockets")
        self.assertIn(f"{self.daemon.socket} and {self.etc}/x.spec", finding["what"])
        self.mended(finding["fix"])

    def test_strange_name(self) -> None:
        """A file's name cannot talk to the terminal."""
        self.listen("a\x1b[31m\n.sock").close()
        status, text = doctor(self.daemon, *self.options())
        self.assertEqual(status, 1)
        self.assertNotIn("\x1b", text)
        self.assertIn(r"a\x1b[31m", text)


class SpecTests(DoctorCase):
    """Spec files."""

    def spec(self, name: str, content: object) -> dict[str, str]:
        """Return the one finding about a spec file."""
        text = content if isinstance(content, str) else json.dumps(content)
        (self.etc / name).write_text(text)
        return self.found("specs")

    def test_clear(self) -> None:
        """tcp:// or http:// with TLS is sent in the clear; the fix makes it https://."""
        for name in ("CAFile", "CertFile", "KeyFile"):
            (self.etc / name).write_text("")
            (self.etc / name).chmod(0o600)
        tls = {name: str(self.etc / name) for name in ("CAFile", "CertFile", "KeyFile")}
        for scheme in ("tcp", "http"):
            finding = self.spec("r.json", {"Addr": f"{scheme}://10.0.0.1:9", "TLSConfig": tls})
            self.assertIn(f"{scheme}://10.0.0.1:9", finding["what"])
            self.assertIn("in the clear", finding["why"])
            self.mended(finding["fix"])

    def test_no_tls(self) -> None:
        """tcp:// to another machine is found; a port of this one is a note."""
        self.assertIn("without TLS", self.spec("r.spec", "tcp://10.0.0.1:9\n")["what"])
        (self.etc / "r.spec").write_text("tcp://127.0.0.1:9\n")
        self.assertIn("a port of this machine", self.found("specs", "note")["what"])

    def test_not_connected(self) -> None:
        """No port is ever connected to."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.setblocking(False)
            (self.etc / "r.spec").write_text(f"tcp://127.0.0.1:{server.getsockname()[1]}\n")
            self.examine()
            self.assertRaises(BlockingIOError, server.accept)

    def test_not_verified(self) -> None:
        """https:// that verifies nothing is found, in all ways to write it."""
        (self.etc / "ca").write_text("")
        finding = self.spec("r.json", {"addr": "https://h:9", "tlsconfig": {}})
        self.assertIn("without a CAFile", finding["what"])
        self.assertIn("CAFile", finding["fix"])
        (self.etc / "r.json").unlink()
        self.assertIn("cannot name a CA", self.spec("r.spec", "https://h:9")["fix"])
        (self.etc / "r.spec").unlink()
        tls = {"CAFile": f"{self.etc}/ca", "InsecureSkipVerify": True}
        finding = self.spec("r.json", {"Addr": "https://h:9", "TLSConfig": tls})
        self.assertIn("InsecureSkipVerify", finding["what"])
        self.mended(finding["fix"])

    def test_key(self) -> None:
        """A key that others may read, and a file that is not there, are found."""
        (self.etc / "ca").write_text("")
        (self.etc / "key").write_text("")
        (self.etc / "key").chmod(0o644)
        tls = {"CAFile": f"{self.etc}/ca", "KeyFile": f"{self.etc}/key"}
        finding = self.spec("r.json", {"Addr": "https://h:9", "TLSConfig": tls})
        self.assertIn("key has mode 0644", finding["what"])
        self.mended(finding["fix"])
        (self.etc / "ca").unlink()
        self.assertIn("a CAFile that is not there", self.found("specs")["what"])

    def test_dead(self) -> None:
        """A spec of a dead or missing UNIX socket is found."""
        self.assertIn("is dead", self.spec("r.spec", f"unix://{self.base}/no.sock")["what"])

    def test_malformed(self) -> None:
        """What is no spec is found."""
        for name, content in (
            ("r.spec", "host:9"),
            ("r.spec", ""),
            ("s.json", "{"),
            ("s.json", []),
            ("s.json", {"Name": "s"}),
            ("s.json", {"Addr": "tcp://h:9", "TLSConfig": []}),
        ):
            finding = self.spec(name, content)
            self.assertIn("cannot be read as a plugin's spec", finding["what"])
            self.mended(f"rm {self.etc / name}")


class FileTests(DoctorCase):
    """Modes, and the journal."""

    def test_modes(self) -> None:
        """A file or directory that is open to others is found, and its fix closes it."""
        for name, mode, closed in (
            ("state", 0o750, 0o700),
            ("run", 0o755, 0o700),
            ("state/journal", 0o644, 0o600),
            ("state/lock", 0o644, 0o600),
            ("run/journal", 0o640, 0o600),
            ("volumes/.lock", 0o604, 0o600),
            ("plugins/x.sock", 0o666, 0o600),
            ("plugins", 0o722, 0o700),
        ):
            self.daemon.ok("Mount", Name="db", ID="a")
            self.daemon.ok("Unmount", Name="db", ID="a")
            path = self.base / name
            path.chmod(mode)
            finding = self.found("modes")
            self.assertIn(f"{path} has mode {mode:04o}", finding["what"])
            self.mended(finding["fix"])
            self.assertEqual(stat.S_IMODE(path.stat().st_mode), closed)

    def test_group(self) -> None:
        """A socket for a group, which one can ask for, is a note."""
        self.daemon.socket.chmod(0o660)
        self.assertIn("open to the group", self.found("modes", "note")["what"])

    def test_root(self) -> None:
        """A root into which every user can go is found; one behind a closed directory is not."""
        self.daemon.root.chmod(0o711)
        healthy(self.examine())
        self.base.chmod(0o755)
        finding = self.found("modes")
        self.assertIn("setuid", finding["why"])
        self.assertEqual(finding["fix"], f"chmod 0710 {self.daemon.root}")
        self.mended(finding["fix"])

    def damage(self, old: bytes, new: bytes) -> None:
        """Change the journal's bytes, with the daemon stopped."""
        self.daemon.stop()
        path = self.daemon.state / "journal"
        path.write_bytes(path.read_bytes().replace(old, new))

    def journal_found(self) -> dict[str, str]:
        """Return what is found of the journal while no daemon runs."""
        report = self.examine()
        self.assertEqual({f["check"] for f in report["findings"]}, {"sockets", "journal"})
        return found(report, "journal")

    def test_damaged(self) -> None:
        """A damaged journal is found, and what needs it is not made; the fix repairs it."""
        self.daemon.ok("Create", Name="web")
        self.damage(b'"web"', b'"wob"')
        finding = self.journal_found()
        self.assertIn("damaged at byte", finding["what"])
        self.assertEqual(finding["fix"], f"exampledriver journal repair {self.daemon.state}")
        self.assertIn("directories", str(self.examine()["not_made"]))
        command = Path(sys.executable).with_name("exampledriver")
        subprocess.run(
            [command, "journal", "repair", self.daemon.state], check=True, capture_output=True
        )
        self.daemon.start()
        self.daemon.ok("Create", Name="web")
        healthy(self.examine())

    def test_damaged_under_a_daemon(self) -> None:
        """Damage is found while the daemon runs too: the fix says that it stops first."""
        path = self.daemon.state / "journal"
        self.daemon.ok("Create", Name="web")
        path.write_bytes(path.read_bytes().replace(b'"db"', b'"dx"'))
        finding = self.found("journal")
        self.assertIn("with the driver stopped", finding["fix"])

    def test_torn(self) -> None:
        """A torn tail is no damage."""
        with (self.daemon.state / "journal").open("ab") as file:
            file.write(b"torn")
        healthy(self.examine())

    def test_counts_damaged(self) -> None:
        """Damaged mount counts are a note: a start begins them anew."""
        self.daemon.ok("Mount", Name="db", ID="a")
        self.daemon.ok("Unmount", Name="db", ID="a")
        path = self.base / "run/journal"
        path.write_bytes(path.read_bytes().replace(b'"a"', b'"b"', 1))
        self.assertIn("mount counts", self.found("journal", "note")["what"])


class VolumeTests(DoctorCase):
    """Volumes and their directories."""

    def test_missing(self) -> None:
        """A volume without its directory is found, whether the daemon runs or not."""
        shutil.rmtree(self.daemon.root / "db")
        finding = self.found("directories")
        self.assertIn(f'volume "db": its directory {self.daemon.root}/db', finding["what"])
        self.assertIn("docker volume rm db", finding["fix"])
        self.daemon.stop()
        self.assertIn("is missing", found(self.examine(), "directories")["what"])

    def test_replaced(self) -> None:
        """A link or a file in the place of a directory is found."""
        (self.daemon.root / "db").rename(self.base / "db")
        (self.daemon.root / "db").symlink_to(self.base / "db")
        self.assertIn("now a symbolic link", self.found("directories")["what"])
        (self.daemon.root / "db").unlink()
        (self.daemon.root / "db").write_text("")
        self.assertIn("not a directory", self.found("directories")["what"])

    def test_stray(self) -> None:
        """A directory that is no volume's is a note; lost+found and hidden ones are none."""
        for name in ("web", "lost+found", ".hidden"):
            (self.daemon.root / name).mkdir()
        finding = self.found("directories", "note")
        self.assertIn(f"{self.daemon.root}/web belongs to no volume", finding["what"])
        self.assertIn("docker volume create -d x web   # adopts it", finding["fix"])

    def compose(self, text: str, name: str = "compose.yaml") -> Path:
        """Write a Compose file of the project "shop"."""
        path = self.base / "Shop!" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    def test_drift(self) -> None:
        """Options that a Compose file gives and the volume has not are found."""
        self.daemon.ok("Create", Name="shop_data", Opts={"uid": "5", "mode": "700"})
        path = self.compose(
            "services: {}\nvolumes:\n"
            "  data:\n    driver: x\n    driver_opts: {uid: 5, mode: '0750'}\n"
            "  other: {driver: local, driver_opts: {type: nfs}}\n"
            "  ours: {external: true, name: db}\n"
            "  new: {driver: x, driver_opts: {mode: '0700'}}\n"
            "  plain:\n"
        )
        finding = self.found("compose", "problem", f"--compose={path}")
        self.assertIn('"shop_data"', finding["what"])
        self.assertIn("mode is 0700, asked for is 0750", finding["what"])
        self.assertNotIn("uid is", finding["what"])
        self.assertIn("without a word", finding["why"])
        self.assertIn('driver_opts: {"mode": "0700", "uid": "5"}', finding["fix"])
        self.assertIn("docker volume rm shop_data", finding["fix"])

    def test_drift_variables(self) -> None:
        """Names and options with variables are filled from .env as Compose does."""
        path = self.compose(
            "name: ignored\nvolumes:\n"
            "  data: {name: '${VOLUME}', driver: x, driver_opts: {mode: '${MODE:-0700}'}}\n"
        )
        (path.parent / ".env").write_text("# names\nVOLUME=db\n")
        finding = self.found("compose", "problem", f"--compose={path}")
        self.assertIn("mode is 0750, asked for is 0700", finding["what"])

    def test_octal(self) -> None:
        """A mode without quotes, which YAML reads as another number, is found."""
        path = self.compose("volumes: {db: {driver: x, driver_opts: {mode: 0750}}}")
        finding = self.found("compose", "problem", f"--compose={path}")
        self.assertIn('mode="488"', finding["what"])
        self.assertIn("mode: '0750'", finding["fix"])

    def test_links(self) -> None:
        """A mountpoint through a symbolic link is the same mountpoint."""
        (self.base / "link").symlink_to(self.base / "place")
        path = self.compose(
            f"volumes: {{v: {{name: v, driver: x, driver_opts: {{mountpoint: {self.base}/link}}}}}}"
        )
        self.daemon.ok("Create", Name="v", Opts={"mountpoint": str(self.base / "link")})
        healthy(self.examine(f"--compose={path}"))

    def test_no_compose_file(self) -> None:
        """A file that is missing or is none is said in one line, and the exit status is 2."""
        for text in (None, "- a", "{", "volumes: 5"):
            path = self.base / "no.yaml" if text is None else self.compose(text)
            report = self.examine(f"--compose={path}")
            self.assertEqual(report["status"], 2)
            (entry,) = report["not_made"]
            self.assertEqual(entry["check"], "compose")
            self.assertIn(str(path), entry["why"])
            self.assertNotIn("\n", entry["why"])


class UsageTests(DoctorCase):
    """Options, and what cannot be looked at."""

    def test_misused(self) -> None:
        """Mistakes in the options are exit status 2; an engine at a port is not asked."""
        command = str(Path(sys.executable).with_name("exampledriver"))
        for option in ("--docker=tcp://127.0.0.1:1", "--nosuch"):
            done = subprocess.run([command, "doctor", option], capture_output=True, text=True)
            self.assertEqual(done.returncode, 2)
            self.assertIn(option.partition("=")[2] or option, done.stderr)

    def test_wrong_place(self) -> None:
        """Directories that are not there are said, not passed."""
        report = self.examine(f"--state={self.base}/no", f"--root={self.base}/neither")
        self.assertEqual(report["status"], 2)
        not_made = {entry["check"] for entry in report["not_made"]}
        self.assertLessEqual({"modes", "disk", "journal", "directories"}, not_made)

    def test_text(self) -> None:
        """People read what, why and fix, the problems first, and a count at the end."""
        (self.daemon.root / "web").mkdir()
        self.daemon.stop()
        status, text = doctor(self.daemon, *self.options())
        self.assertEqual(status, 1)
        problem, note, last = text.split("\n\n")
        self.assertTrue(problem.startswith("PROBLEM (sockets): nobody serves the driver x"))
        self.assertRegex(problem, r"(?s)\n  why: .*\n  fix: twistd ")
        self.assertTrue(note.startswith("NOTE (directories): "))
        self.assertTrue(last.startswith("1 problem, 1 note; "))
