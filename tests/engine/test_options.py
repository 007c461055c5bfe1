"""Each row of docs/options.md: what other drivers' options do here."""

from __future__ import annotations

import inspect
import json
import os
import re
from pathlib import Path

from exampledriver.backends.kinds import OPTIONS
from tests.process import Daemon

from .box import done
from .kinds import DaemonKindCase
from .servers import write_recording
from .storage import make_file_system, release

#: The tests of the table's rows, in its order.
ROWS = {
    ("local-persist", "`mountpoint=/path`"): ["test_local_persist"],
    ("Docker's local", "none"): ["test_local_plain"],
    ("Docker's local", "`type=T device=D o=O`"): ["test_local_any"],
    ("Docker's local", "`type=nfs o=addr=H,… device=:/path`"): ["test_local_nfs"],
    ("Docker's local", "`type=cifs device=//H/S o=username=U,password=P`"): ["test_local_cifs"],
    ("Docker's local", "`type=tmpfs device=tmpfs o=size=100m,uid=1000`"): [
        "test_local_tmpfs",
        "test_tmpfs",
    ],
    ("Docker's local", "`type=none o=bind device=/path`"): [
        "test_local_bind",
        "test_local_persist",
    ],
    ("Docker's local", "`size=10G` (XFS project quotas)"): ["test_local_size"],
    ("netshare nfs", "`share=H/path`"): ["test_netshare_nfs"],
    ("netshare nfs", "`nfsopts=…`"): ["test_netshare_nfs"],
    ("netshare nfs, cifs", "`create=true`"): ["test_netshare_create"],
    ("netshare cifs", "`share=H/S`"): ["test_netshare_share"],
    (
        "netshare cifs",
        "`username`, `domain`, `security`, `fileMode`, `dirMode`, `cifsopts`",
    ): ["test_netshare_cifs"],
    ("netshare cifs", "`password`, `.netrc`"): ["test_netshare_password"],
    ("netshare efs", "`share=fs-ID/path`"): ["test_netshare_efs"],
    ("netshare", "`--version`, `--basedir`, `-o` of its command"): ["test_netshare_command"],
    (
        "Podman's local, Quadlet, kube",
        "`o=uid=U,gid=G,mode=M,size=S`, also as `UID`, `GID`, `SIZE`",
    ): ["test_podman"],
    ("buttervolume", "none"): ["test_buttervolume"],
    ("buttervolume", "`copyonwrite=false`"): ["test_buttervolume"],
}

TABLE = Path(__file__).parents[2] / "docs/options.md"


class RowTests(DaemonKindCase):
    """A daemon whose mount(8) writes down what it is given, where the kernel lacks a client."""

    def prepare(self, daemon: Daemon) -> None:
        self.record = daemon.base / "record"
        write_recording(daemon.base / "bin/mount", self.record)
        self.real = daemon.environment
        daemon.environment = {"PATH": f"{daemon.base}/bin:{os.environ['PATH']}"}

    def really(self) -> None:
        """Let the daemon have the real mount(8)."""
        self.daemon.stop()
        self.daemon.environment = self.real
        self.daemon.start()

    def use(self, **options: str) -> Path:
        """Create and mount a volume; return its path."""
        self.daemon.ok("Create", Name="v", Opts=options)
        self.addCleanup(self.drop)
        return Path(self.daemon.ok("Mount", Name="v", ID="1")["Mountpoint"])

    def drop(self) -> None:
        """Unmount and remove the volume."""
        self.daemon.ok("Unmount", Name="v", ID="1")
        self.daemon.ok("Remove", Name="v")
        self.assertEqual(self.mounted(), [])

    def given(self, **options: str) -> str:
        """Return what mount(8) is given, but for the target."""
        self.use(backend="mount", **options)
        return " ".join(json.loads(self.record.read_text())["argv"][1:-1])

    def secret(self) -> str:
        """Return the path of a file with a password."""
        path = self.daemon.base / "secret"
        path.write_text("password=x\n")
        path.chmod(0o600)
        return str(path)

    def test_local_persist(self) -> None:
        """local-persist: mountpoint."""
        place = self.daemon.base / "there/deep"
        self.assertEqual(self.use(mountpoint=str(place)), place)

    def test_local_plain(self) -> None:
        """Docker's local: nothing."""
        self.assertTrue(self.use().is_dir())

    def test_local_any(self) -> None:
        """Docker's local: type, device and o, here of a device."""
        self.really()
        disk = self.daemon.base / "disk.img"
        make_file_system(disk, "ext4", 16 << 20)
        path = self.use(backend="mount", type="ext4", device=str(disk), o="loop,ro")
        self.assertTrue((path / "lost+found").is_dir())
        self.assertRaises(OSError, (path / "x").touch)

    def test_local_nfs(self) -> None:
        """Docker's local: NFS with addr."""
        words = self.given(type="nfs", o="addr=h,rw", device=":/path")
        self.assertEqual(words, "-t nfs -o addr=h,rw -- h:/path")

    def test_local_cifs(self) -> None:
        """Docker's local: CIFS; the password goes into a file."""
        options = {"type": "cifs", "device": "//h/s"}
        message = {"Name": "v", "Opts": {"backend": "mount", **options, "o": "password=x"}}
        self.assertEqual(self.daemon.call("VolumeDriver.Create", message)[0], 400)
        secret = self.secret()
        words = self.given(**options, o="username=u", **{"credentials-file": secret})
        self.assertEqual(words, f"-t cifs -o username=u,credentials={secret} -- //h/s")

    def test_local_tmpfs(self) -> None:
        """Docker's local: tmpfs with a size and an owner."""
        self.really()
        path = self.use(backend="mount", type="tmpfs", device="tmpfs", o="size=100m,uid=1000")
        self.assertEqual((_size(path), path.stat().st_uid), (100 << 20, 1000))

    def test_tmpfs(self) -> None:
        """Or the backend of that name."""
        self.really()
        path = self.use(backend="tmpfs", size="100M", uid="1000")
        self.assertEqual((_size(path), path.stat().st_uid), (100 << 20, 1000))

    def test_local_bind(self) -> None:
        """Docker's local: a directory elsewhere."""
        self.really()
        there = self.daemon.base / "there"
        there.mkdir()
        (self.use(backend="mount", type="none", o="bind", device=str(there)) / "x").touch()
        self.assertTrue((there / "x").exists())

    def test_local_size(self) -> None:
        """Docker's local: a size; by an image. By quotas and Btrfs it is in test_backends."""
        self.really()
        self.assertLess(_size(self.use(backend="image", size="32M")), 32 << 20)

    def test_netshare_nfs(self) -> None:
        """netshare: NFS with options."""
        words = self.given(type="nfs4", share="h/path", nfsopts="soft,nolock")
        self.assertEqual(words, "-t nfs4 -o soft,nolock -- h:/path")

    def test_netshare_create(self) -> None:
        """netshare: create shows a directory of the volume's name, of NFS and of CIFS."""
        for kind in ("nfs4", "cifs"):
            self.given(type=kind, share="h/path", create="true")
            shown = self.daemon.ok("Get", Name="v")["Volume"]["Status"]["Options"]
            self.assertEqual(shown["subpath"], "v")
            self.assertEqual(len([p for p in self.mounted() if p.endswith("/v")]), 2)
            self.drop()

    def test_netshare_share(self) -> None:
        """netshare: CIFS by its share alone."""
        self.assertEqual(self.given(type="cifs", share="h/s"), "-t cifs -- //h/s")

    def test_netshare_password(self) -> None:
        """netshare: a password is refused, and the file that takes it is named."""
        options = {"backend": "mount", "type": "cifs", "share": "h/s", "password": "x"}
        status, answer = self.daemon.call("VolumeDriver.Create", {"Name": "v", "Opts": options})
        self.assertEqual(status, 400)
        self.assertIn("credentials-file", answer["Err"])

    def test_netshare_cifs(self) -> None:
        """netshare: CIFS with its names, and a file for the password."""
        secret = self.secret()
        words = self.given(
            type="cifs", share="h/s", username="u", domain="d", security="s", fileMode="0600",
            dirMode="0700", cifsopts="vers=3", **{"credentials-file": secret},
        )  # fmt: skip
        options = "vers=3,username=u,domain=d,sec=s,file_mode=0600,dir_mode=0700"
        self.assertEqual(words, f"-t cifs -o {options},credentials={secret} -- //h/s")

    def test_netshare_efs(self) -> None:
        """netshare: EFS."""
        self.assertEqual(self.given(type="efs", share="fs-1/p"), "-t efs -- fs-1:/p")

    def test_netshare_command(self) -> None:
        """netshare: options of its command are defaults of the configuration."""
        self.daemon.stop()
        config = self.daemon.base / "config.toml"
        config.write_text('[backends]\ndefault="mount"\n[backends.mount]\ntype="nfs"\no="soft"\n')
        self.daemon.options = [f"--config={config}"]
        self.daemon.start()
        self.use(share="h/path")
        words = json.loads(self.record.read_text())["argv"][1:-1]
        self.assertEqual(" ".join(words), "-t nfs -o soft -- h:/path")

    def test_podman(self) -> None:
        """Podman: an owner and a size in o, and again in capitals."""
        self.really()
        words = "uid=5,gid=6,mode=700,size=1M"
        path = self.use(backend="tmpfs", o=words, UID="5", GID="6", SIZE="1M")
        found = path.stat()
        self.assertEqual((found.st_uid, found.st_gid, found.st_mode & 0o777), (5, 6, 0o700))
        self.assertEqual(_size(path), 1 << 20)

    def test_rows(self) -> None:
        """Each row of the table has its test, in which each of its options stands."""
        rows = []
        for line in TABLE.read_text().splitlines():
            cells = [cell.strip() for cell in line.split("|")]
            if len(cells) == 5 and cells[1] not in ("driver", "---"):
                rows.append((cells[1], cells[2]))
        self.assertEqual(rows, list(ROWS))
        for (_, option), names in ROWS.items():
            tests = [
                getattr(case, name)
                for name in names
                for case in (RowTests, BtrfsRowTests)
                if hasattr(case, name)
            ]
            self.assertEqual(len(tests), len(names), names)
            source = "".join(map(inspect.getsource, tests))
            # Names of options: what stands before "=", or alone.
            for name in re.findall(r"(?<![-.=/\w])([A-Za-z]+)(?==|`)", option):
                self.assertIn(name, source, option)

    def test_table(self) -> None:
        """The table's options are ones that there are."""
        known = {"backend", "password", "none"}
        for backend in ("directory", "image", "tmpfs", "btrfs", "mount"):
            known |= _options(backend)
        for line in TABLE.read_text().splitlines():
            cells = [cell.strip() for cell in line.split("|")]
            if len(cells) == 5 and cells[1].startswith(("local-persist", "buttervolume")):
                for word in re.findall(r"`([a-z]+)=", cells[2]):
                    self.assertIn(word, known)


class BtrfsRowTests(DaemonKindCase):
    """buttervolume, on a root that is Btrfs."""

    def prepare(self, daemon: Daemon) -> None:
        disk = daemon.base / "disk.img"
        make_file_system(disk, "btrfs", 256 << 20)
        done("mount", "-o", "loop", str(disk), str(daemon.root))
        self.addCleanup(release, daemon.base)

    def test_buttervolume(self) -> None:
        """buttervolume: a subvolume, and copyonwrite."""
        for name, options in (("a", {}), ("b", {"copyonwrite": "false"})):
            self.daemon.ok("Create", Name=name, Opts={"backend": "btrfs", **options})
            path = self.daemon.ok("Get", Name=name)["Volume"]["Mountpoint"]
            self.assertEqual(os.stat(path).st_ino, 256)
            self.assertEqual("C" in done("lsattr", "-d", path).split()[0], bool(options))


def _size(path: Path) -> int:
    found = os.statvfs(path)
    return found.f_blocks * found.f_frsize


def _options(backend: str) -> set[str]:
    return set(OPTIONS[backend])
