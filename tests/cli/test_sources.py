"""What other drivers have left behind, read as a plan."""

from __future__ import annotations

import json
from pathlib import Path
from shutil import rmtree

from twisted.trial.unittest import SynchronousTestCase

from exampledriver.cli.client import AdminError
from exampledriver.cli.migrate import Planned, write_secret
from exampledriver.cli.sources import NETSHARE, Step, docker_local, local_persist, netshare


class SourceCase(SynchronousTestCase):
    """A directory for what another driver has."""

    def setUp(self) -> None:
        self.base = Path(self.mktemp())
        self.base.mkdir()

    def write(self, name: str, content: object) -> Path:
        """Write a file of JSON."""
        path = self.base / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
        return path


class LocalPersistTests(SourceCase):
    """The state file of local-persist."""

    def test_state(self) -> None:
        """Each name becomes a volume with its directory; two names may have one."""
        place = str(self.base.absolute())
        path = self.write("state.json", {"state": {"b": place, "a": place}})
        self.assertEqual(
            local_persist(path),
            [Step(name, "create", {"mountpoint": place}) for name in ("a", "b")],
        )

    def test_odd(self) -> None:
        """What is no path, no directory, or not there is refused: none is made in its place."""
        file = self.write("file", {}).absolute()
        odd = {"a": 1, "b": "relative", "c": "", "d": str(file), "e": f"{file}-unmounted"}
        path = self.write("state.json", {"state": odd})
        texts = ["no absolute path"] * 3 + ["mount the file system that holds it"] * 2
        for step, text in zip(local_persist(path), texts, strict=True):
            self.assertIn(text, step.refused)

    def test_no_state(self) -> None:
        """A file that is missing, no JSON, or another one is named."""
        other = self.write("other.json", {"volumes": []})
        broken = self.base / "broken"
        broken.write_text("{")
        for path, text in ((self.base / "nix", "--state"), (other, "state"), (broken, "not JSON")):
            error = str(self.assertRaises(AdminError, local_persist, path))
            self.assertIn(str(path), error)
            self.assertIn(text, error)


class DockerLocalTests(SourceCase):
    """Docker's own volumes."""

    def volume(self, name: str, **options: object) -> None:
        """Make a volume as Docker does."""
        (self.base / "volumes" / name / "_data").mkdir(parents=True)
        if options:
            self.write(f"volumes/{name}/opts.json", options)

    def steps(self, move: bool = False, anonymous: bool = False) -> dict[str, Step]:
        """Return the plan by name."""
        return {step.name: step for step in docker_local(self.base, move, anonymous)}

    def test_plain(self) -> None:
        """A plain volume is copied, or moved; one without a name only when that is asked for."""
        self.volume("db")
        self.volume("0" * 64)
        self.write("volumes/metadata.db", {})
        data = str(self.base / "volumes/db/_data")
        self.assertEqual(self.steps(), {"db": Step("db", "copy", {}, data)})
        self.assertEqual(self.steps(move=True), {"db": Step("db", "move", {}, data)})
        self.assertEqual(set(self.steps(anonymous=True)), {"db", "0" * 64})

    def test_moved(self) -> None:
        """A volume whose data has gone says so."""
        self.volume("db")
        (self.base / "volumes/db/_data").rmdir()
        self.assertIn("moved away already", self.steps(move=True)["db"].refused)

    def test_options(self) -> None:
        """Binds, tmpfs, and what mount(8) mounts become what stands for them here."""
        for name, options, expected in (
            ("bind", {"MountType": "none", "MountOpts": "bind", "MountDevice": "/srv/x"},
             {"mountpoint": "/srv/x"}),
            ("tmp", {"MountType": "tmpfs", "MountOpts": "size=100m,uid=1000",
                     "MountDevice": "tmpfs"},
             {"backend": "tmpfs", "size": "100m", "uid": "1000"}),
            ("nfs", {"MountType": "nfs", "MountOpts": "addr=10.0.0.1,rw", "MountDevice": ":/x"},
             {"backend": "mount", "type": "nfs", "device": ":/x", "o": "addr=10.0.0.1,rw"}),
        ):  # fmt: skip
            self.volume(name, **options)
            self.assertEqual(self.steps()[name], Step(name, "create", expected))

    def test_secrets(self) -> None:
        """Whatever is a secret of options goes into the file of credentials, and is not shown."""
        for word in ("password=hunter2", "PASS=hunter2", "pwd=hunter2", "password2=hunter2"):
            options = f"vers=3,username=u,{word},credentials=/etc/c"
            self.volume("db", MountType="cifs", MountOpts=options, MountDevice="//h/s")
            step = self.steps()["db"]
            self.assertEqual(step.options["o"], "vers=3,credentials=/etc/c")
            self.assertIn("username=u\n", step.secret)
            self.assertIn("=hunter2\n", step.secret)
            self.assertNotIn("hunter2", str(Planned(step).shown(Path("/etc/credentials"))))
            rmtree(self.base / "volumes")
        odd = Step("db", "create", {"share": "u:hunter2@h/s", "o": "token=hunter2"})
        self.assertNotIn("hunter2", str(Planned(odd).shown(Path("/etc/credentials"))))

    def test_refused(self) -> None:
        """What has no like here is refused, and nothing is left out silently."""
        self.volume("ro", MountType="none", MountOpts="bind,ro", MountDevice="/srv/x")
        self.volume("quota", Quota={"Size": 1000})
        self.volume("tmp", MountType="tmpfs", MountOpts="size=1m,nr_inodes=5", MountDevice="tmpfs")
        for name, text in (("ro", "with ro"), ("quota", "quota"), ("tmp", "nr_inodes")):
            self.assertIn(text, self.steps()[name].refused)

    def test_secret(self) -> None:
        """A password in the options goes into a file, with the user's name, and is not shown."""
        self.volume("share", MountType="cifs", MountDevice="//host/share",
                    MountOpts="username=me,password=hush,vers=3.0")  # fmt: skip
        step = self.steps()["share"]
        self.assertEqual(step.secret, "username=me\npassword=hush\n")
        self.assertEqual(step.options["o"], "vers=3.0")
        self.assertNotIn("hush", repr(step))


class NetshareTests(SynchronousTestCase):
    """netshare's volumes, as docker volume inspect has them."""

    def one(self, driver: str, name: str = "x", **options: str) -> Step:
        """Return the step of one volume."""
        volumes = [{"Name": name, "Driver": driver, "Options": options}, {"Driver": "local"}]
        (step,) = netshare(volumes, NETSHARE)
        return step

    def test_options(self) -> None:
        """The options that netshare's drivers know are handed on, with the type they mean."""
        nfs = self.one("nfs", share="host:/path", nfsopts="hard", create="true")
        expected = {"share": "host:/path", "nfsopts": "hard", "create": "true"}
        self.assertEqual(nfs.options, {"backend": "mount", "type": "nfs4", **expected})
        tagged = self.one("nfs:latest", share="host/path")
        self.assertEqual(tagged.options["share"], "host/path")

    def test_password(self) -> None:
        """A password goes into the file of credentials, with whom it belongs to."""
        step = self.one("cifs", share="host/x", username="me", password="hush", domain="d")
        self.assertEqual(step.options, {"backend": "mount", "type": "cifs", "share": "host/x"})
        self.assertEqual(step.secret, "username=me\ndomain=d\npassword=hush\n")

    def test_name_is_the_share(self) -> None:
        """A volume whose name is its share is refused, with the command that makes a good one."""
        self.assertIn("-o share=host/path", self.one("nfs", "host/path").refused)

    def test_no_list(self) -> None:
        """What is no list of volumes is refused."""
        self.assertRaises(AdminError, netshare, {"Name": "x"}, NETSHARE)


class SecretTests(SourceCase):
    """Files of credentials."""

    def test_write(self) -> None:
        """Written with mode 0600, again with the same text, and never over another one."""
        path = self.base / "credentials/db"
        write_secret(path, "password=hush\n")
        write_secret(path, "password=hush\n")
        self.assertEqual(path.stat().st_mode & 0o7777, 0o600)
        error = self.assertRaises(AdminError, write_secret, path, "password=other\n")
        self.assertNotIn("other\n", str(error))
        self.assertEqual(path.read_text(), "password=hush\n")
        self.assertEqual([one.name for one in path.parent.iterdir()], ["db"])
