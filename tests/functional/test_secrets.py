"""A real daemon that is sent every form of a secret, and where it may have left one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from exampledriver.backends.kinds import OPTIONS
from exampledriver.journal.files import RealFiles
from exampledriver.journal.log import Log
from tests.admin.command import admin, done, loaded, refused
from tests.backends.test_kinds import GOOD
from tests.process import UnixConnection, until
from tests.secret_forms import SECRET, VALUES, options

from .case import DaemonCase

#: A mount(8) that writes down what it and its parent's children are given, and mounts nothing.
_MOUNT = """#!/bin/sh
cat /proc/$$/cmdline /proc/$$/environ >> {record}
echo >> {record}
echo "mount: bad option; for $@" >&2
exit 32
"""


def creates() -> Iterator[Mapping[str, str]]:
    """Yield the options of Creates: every form in every option of every backend."""
    for backend, good in GOOD.items():
        for key in sorted(OPTIONS[backend]):
            yield from ({"backend": backend, **good, key: value} for value in VALUES)
        yield from ({"backend": backend, **good, key: value} for key, value in options())


class SecretTests(DaemonCase):
    """Nothing that the daemon writes, answers or starts has a secret in it."""

    def setUp(self) -> None:
        super().setUp()
        programs = self.base / "programs"
        programs.mkdir()
        self.record = self.base / "record"
        mount = programs / "mount"
        mount.write_text(_MOUNT.format(record=self.record))
        mount.chmod(0o755)
        self.daemon.environment = {"PATH": f"{programs}:/usr/sbin:/usr/bin:/sbin:/bin"}

    def assertNowhere(self, *besides: str) -> None:
        """Look for the secret in every file of the daemon's, and in `besides`."""
        for path in self.base.rglob("*"):
            if path.is_file():
                self.assertNotIn(SECRET.encode("ascii"), path.read_bytes(), path)
        for text in besides:
            self.assertNotIn(SECRET, text)

    def journal(self, backend: str, place: Path, kept: Mapping[str, str]) -> None:
        """Write a journal with the volume "old", as an older version would."""
        self.daemon.state.mkdir(parents=True)
        log = Log(RealFiles(str(self.daemon.state)))
        log.open()
        value = {
            "backend": backend,
            "created": "2026-01-01T00:00:00Z",
            "mountpoint": str(place),
            "options": kept,
        }
        log.commit([("old", json.dumps(value).encode("ascii"))])
        log.close()

    def test_everywhere(self) -> None:
        """Every form in every option is refused; no answer, log, journal or child has it."""
        self.daemon.start()
        until((self.base / "run/admin.sock").exists, "the admin's socket")
        engine = self.daemon.dial()
        operator = UnixConnection(self.base / "run/admin.sock")
        self.addCleanup(engine.close)
        self.addCleanup(operator.close)
        count = 0
        for opts in creates():
            calls = [(engine, "VolumeDriver.Create")]
            if count % 20 == 0:
                calls += [(operator, "Admin.Create"), (operator, "Admin.Check")]
            for connection, call in calls:
                body = json.dumps({"Name": "db", "Opts": opts})
                connection.request("POST", "/" + call, body)
                answer = connection.getresponse()
                text = answer.read().decode("utf-8")
                # A copy that the administrator makes is answered in lines; the last has the end.
                copies = call == "Admin.Create" and "from" in opts
                self.assertIn(answer.status, {200, 400} if copies else {400}, text)
                self.assertIn("Err", json.loads(text.splitlines()[-1]), text)
                self.assertNotIn(SECRET, text)
            count += 1
        self.assertGreater(count, 3000)
        self.assertEqual(self.daemon.names(), [])
        self.assertFalse(self.record.exists())
        self.daemon.stop()
        self.assertIn("is a secret", self.daemon.log())
        self.assertNowhere()

    def test_credentials(self) -> None:
        """A file of credentials is the way: its path is an argument, and its content is not."""
        self.daemon.start()
        credentials = Path(self.mktemp()).absolute()
        credentials.write_text(f"password={SECRET}\n")
        credentials.chmod(0o600)
        opts = {"backend": "mount", "type": "cifs", "device": "//127.0.0.1/s"}
        opts["credentials-file"] = str(credentials)
        self.daemon.ok("Create", Name="db", Opts=opts)
        _, answer = self.daemon.call("VolumeDriver.Mount", {"Name": "db", "ID": "x"})
        self.assertIn("bad option", answer["Err"])
        self.assertIn(f"credentials={credentials}", self.record.read_text())
        self.assertNowhere(json.dumps(answer))

    def test_archive(self) -> None:
        """An archive, which is given away, has no secret of an older version's options."""
        place = self.base / f"data,token={SECRET}"
        place.mkdir()
        self.journal("directory", place, {"mode": "0750", "mountpoint": str(place)})
        self.daemon.start()
        archive = self.base / "archive.tar"
        done(self.daemon, "volume", "export", "old", str(archive))
        content = archive.read_bytes()
        self.assertIn(b"token=***", content)
        self.assertNotIn(SECRET.encode("ascii"), content)

    def test_old_journal(self) -> None:
        """A secret that an older version let in is used, and shown by nothing."""
        kept = {"type": "cifs", "device": "//h/s", "o": f"username=u,password={SECRET}"}
        self.journal("mount", self.daemon.root / "old", {**kept, "timeout": "30s"})
        self.daemon.start()
        shown = [
            self.daemon.ok("Get", Name="old"),
            self.daemon.ok("List"),
            loaded(self.daemon, "volume", "inspect", "old", "--json"),
        ]
        for found in shown:
            self.assertIn("username=u,password=***", json.dumps(found))
        texts = [done(self.daemon, "volume", "ls"), done(self.daemon, "volume", "ls", "--json")]
        for call, message in (
            ("Mount", {"Name": "old", "ID": "x"}),
            ("Create", {"Name": "old", "Opts": {"backend": "mount", **kept, "o": "soft"}}),
            ("Create", {"Name": "old", "Opts": {"backend": "mount", **kept}}),
        ):
            status, answer = self.daemon.call(f"VolumeDriver.{call}", message)
            self.assertNotEqual(status, 200)
            texts.append(json.dumps(answer))
        # The helper gets it, which it cannot do without.
        self.assertIn(SECRET, self.record.read_text())
        texts.append(refused(self.daemon, "volume", "create", "old", "-o", "backend=mount"))
        found = admin(self.daemon, "doctor", f"--root={self.daemon.root}", "--state",
                      str(self.daemon.state))  # fmt: skip
        self.assertIn('volume "old": option o has a secret in it ("password")', found.stdout)
        compose = self.base / "compose.yaml"
        compose.write_text("volumes: {d: {name: old, driver: x, driver_opts: {uid: '5'}}}")
        drift = admin(self.daemon, "doctor", f"--root={self.daemon.root}", "--state",
                      str(self.daemon.state), "--name=x", f"--compose={compose}")  # fmt: skip
        self.assertIn("password=***", drift.stdout)
        texts += [
            drift.stdout,
            drift.stderr,
            json.dumps(shown),
            found.stdout,
            found.stderr,
            self.daemon.log(),
        ]
        self.daemon.stop()
        texts.append(done(self.daemon, "journal", "show", str(self.daemon.state)))
        for text in texts:
            self.assertNotIn(SECRET, text)
