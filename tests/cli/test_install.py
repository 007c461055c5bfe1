"""exampledriver install-systemd."""

from __future__ import annotations

import contextlib
import io
import re
import stat
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from exampledriver.cli.install import MOUNTS, PLACES, distribution, quoted
from exampledriver.cli.main import main

SERVICE = PLACES["exampledriver.service"]
SOCKET = PLACES["exampledriver.socket"]


class InstallTests(SynchronousTestCase):
    """Putting the units in place."""

    def setUp(self) -> None:
        self.host = Path(self.mktemp()).absolute()

    def run_command(self, *words: str) -> tuple[int, str]:
        """Run the command; return its exit status and what it printed."""
        output = io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            status = main(["install-systemd", f"--destdir={self.host}", *words])
        return status, output.getvalue()

    def files(self) -> list[str]:
        """Return what was written."""
        return sorted(
            str(path.relative_to(self.host)) for path in self.host.rglob("*") if path.is_file()
        )

    def line(self, place: str, key: str) -> str:
        """Return the value of a unit's setting."""
        found = re.search(rf"^{key}=(.*)$", (self.host / place).read_text(), re.MULTILINE)
        assert found
        return found[1]

    def test_written(self) -> None:
        """The units are written with this installation's twistd, and it says what to run."""
        status, printed = self.run_command()
        self.assertEqual(status, 0)
        self.assertEqual(self.files(), sorted(PLACES.values()))
        self.assertTrue(
            self.line(SERVICE, "ExecStart").startswith(
                f"{quoted(str(Path(sys.executable).parent / 'twistd'))} --nodaemon"
            )
        )
        self.assertIn("systemctl enable --now exampledriver.socket", printed)
        self.assertEqual(stat.S_IMODE((self.host / SERVICE).stat().st_mode), 0o644)

    def test_dry_run(self) -> None:
        """A dry run shows the files and writes none."""
        status, printed = self.run_command("--dry-run")
        self.assertEqual((status, self.host.exists()), (0, False))
        self.assertIn("ExecStart=", printed)
        self.assertIn("SocketMode=0600", printed)

    def test_options(self) -> None:
        """Options of the daemon are in its command line, quoted, and its mounts are waited for."""
        self.run_command('--root=/srv/my "vols" 100%', "--name=nfs", "--trash-retention=7d")
        line = self.line(SERVICE, "ExecStart")
        self.assertTrue(
            line.endswith(' --name=nfs "--root=/srv/my \\"vols\\" 100%%" --trash-retention=7d'),
            line,
        )
        self.assertIn('"/srv/my \\"vols\\" 100%%"', self.line(SERVICE, "RequiresMountsFor"))
        self.assertEqual(self.line(SOCKET, "ListenStream"), "/run/docker/plugins/nfs.sock")

    def test_mounts(self) -> None:
        """The drop-in that lets the daemon mount is written where it is asked for, and kept."""
        (place,) = MOUNTS.values()
        self.run_command()
        self.assertNotIn(place, self.files())
        self.run_command("--mounts")
        self.assertIn("CAP_SYS_ADMIN", self.line(place, "CapabilityBoundingSet"))
        self.assertNotIn("CAP_SYS_ADMIN", self.line(SERVICE, "CapabilityBoundingSet"))
        self.run_command()
        self.assertIn(place, self.files())

    def test_logrotate(self) -> None:
        """Where logrotate rotates, the daemon does not."""
        self.run_command("--logrotate")
        self.assertIn("etc/logrotate.d/exampledriver", self.files())
        self.assertTrue(self.line(SERVICE, "ExecStart").endswith(" --log-rotate-size=0"))

    def test_again(self) -> None:
        """Again it changes nothing; a file that somebody edited is kept, unless forced."""
        self.run_command()
        self.assertIn(f"unchanged: {self.host / SERVICE}", self.run_command()[1])
        (self.host / SERVICE).write_text("edited")
        status, printed = self.run_command()
        self.assertEqual(status, 1)
        self.assertIn("is there and differs", printed)
        self.assertEqual((self.host / SERVICE).read_text(), "edited")
        (self.host / SOCKET).unlink()
        self.run_command()
        self.assertFalse((self.host / SOCKET).exists(), "some files, of all that are needed")
        self.assertEqual(self.run_command("--force")[0], 0)
        self.assertNotEqual((self.host / SERVICE).read_text(), "edited")

    def test_relative(self) -> None:
        """A relative directory is refused: systemd has no directory that it is meant from."""
        status, printed = self.run_command("--root=vols")
        self.assertEqual(status, 1)
        self.assertIn("--root=vols: give an absolute path", printed)

    def test_bad_values(self) -> None:
        """What the daemon would refuse is refused here, and nothing is written."""
        for word, text in (
            ("--name=../../x", "--name=../../x: needs 1 to 63"),
            ("--trash-retention=banana", "--trash-retention='banana': give"),
            ("--root=/srv/x\nUser=nobody", "a unit cannot have such characters"),
        ):
            status, printed = self.run_command(word)
            self.assertEqual(status, 1)
            self.assertIn(text, printed)
        self.assertFalse(self.host.exists())

    def test_dollar(self) -> None:
        """A dollar sign is doubled in the command, where it would begin a variable, only."""
        self.run_command("--root=/srv/a$b")
        self.assertTrue(self.line(SERVICE, "ExecStart").endswith(" --root=/srv/a$$b"))
        self.assertTrue(self.line(SERVICE, "RequiresMountsFor").endswith(" /srv/a$b"))

    def test_names(self) -> None:
        """The socket that engines look for is the one that the driver's name says."""
        text = (distribution() / "exampledriver.socket").read_text()
        self.assertIn("ListenStream=/run/docker/plugins/exampledriver.sock\n", text)
        self.assertNotIn("/exampledriver/exampledriver.sock", text)
