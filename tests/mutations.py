"""Break the code in one way at a time, and see that a named test catches each.

A program: ``python -m tests.mutations``. It works on a copy of the project; the names of the
tests are those that are run, and the first that fails is printed.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from attrs import frozen

HERE = Path(__file__).parents[1]
LOG = "exampledriver/journal/log.py"
RECORDS = "exampledriver/journal/records.py"
SERVICE = "exampledriver/volumes/service.py"
CREATING = "exampledriver/volumes/creating.py"
REMOVING = "exampledriver/volumes/removing.py"
USING = "exampledriver/volumes/using.py"
PACKED = "exampledriver/volumes/packed.py"
REGISTRY = "exampledriver/backends/registry.py"
ROOT = "exampledriver/backends/root.py"
TRASH = "exampledriver/backends/trash.py"
PLACES = "exampledriver/backends/places.py"
DEADLINES = "exampledriver/volumes/deadlines.py"
HEALTH = "exampledriver/volumes/health.py"
SWEEPING = "exampledriver/volumes/sweeping.py"
PROBING = "exampledriver/backends/probing.py"
COPYUP = "exampledriver/volumes/copyup.py"


@frozen
class Mutation:
    """One way to break the code.

    :ivar what: for people.
    :ivar file: what is changed, from `old` (which occurs once) to `new`.
    :ivar test: what must fail then.
    """

    what: str
    file: str
    old: str
    new: str
    test: str


MUTATIONS = [
    Mutation(
        "no fdatasync of a batch", LOG,
        "            self._file.sync()\n        except OSError as error:\n            self._heal",
        "            pass\n        except OSError as error:\n            self._heal",
        "tests.journal.test_log",
    ),
    Mutation(
        "fdatasync does nothing", "exampledriver/journal/files.py",
        "os.fdatasync(self._fd)", "pass", "tests.journal.test_files",
    ),
    Mutation(
        "answer before the fdatasync", "exampledriver/journal/catalog.py",
        "        error: CatalogError | None = None\n        try:\n",
        "        self._reactor.callFromThread(self._report, list(batch), None)\n"
        "        batch = []\n"
        "        error: CatalogError | None = None\n        try:\n",
        "tests.journal.test_catalog",
    ),
    Mutation(
        "no fsync of the directory after a rename", LOG,
        "        self.files.rename(NEW, JOURNAL)\n        self.files.sync_directory()",
        "        self.files.rename(NEW, JOURNAL)",
        "tests.crash.test_everywhere",
    ),
    Mutation(
        "rename before the fsync of the new file", LOG,
        "        self._write(encode_synced(records))\n        self.file.sync()\n",
        "        self._write(encode_synced(records))\n",
        "tests.crash.test_everywhere",
    ),
    Mutation(
        "checksum ignored", RECORDS,
        'or words[0] != b"%08x" % crc32(line[9:])', "", "tests.journal.test_damage",
    ),
    Mutation(
        "what a later record proves ignored", RECORDS,
        "        if proof > records:", "        if False:", "tests.journal.test_damage",
    ),
    Mutation(
        "the header's count ignored", RECORDS,
        "    if durable > records:", "    if False:", "tests.journal.test_damage",
    ),
    Mutation(
        "proofs looked for behind newlines only", RECORDS,
        'rb"(?=[0-9a-f]{8} [0-9]+ [0-9]+ \\[)"', 'rb"(?m)^(?=[0-9a-f]{8} [0-9]+ [0-9]+ \\[)"',
        "tests.journal.test_damage",
    ),
    Mutation(
        "torn tail not cut", LOG,
        "            self._file.truncate(found.length)\n", "", "tests.journal.test_log",
    ),
    Mutation(
        "a compaction drops what changed meanwhile", LOG,
        "            self._rewrite.tail.extend(changes)", "            pass",
        "tests.journal.test_log",
    ),
    Mutation(
        "a full disk: the file is not cut back", LOG,
        "            self._file.truncate(self._length)\n        except OSError as worse:",
        "            pass\n        except OSError as worse:",
        "tests.journal.test_log",
    ),
    Mutation(
        "an I/O error: the file is trusted all the same", LOG,
        "        except OSError as error:\n            self._heal(error)\n"
        "            raise self._failed(error) from error\n        if not self.files",
        "        except OSError as error:\n"
        "            raise self._failed(error) from error\n        if not self.files",
        "tests.journal.test_log",
    ),
    Mutation(
        "what is refused is not cut off an untrusted file", LOG,
        "                self._file.truncate(self._length)\n            except OSError:\n"
        "                self.doubtful",
        "                pass\n            except OSError:\n                self.doubtful",
        "tests.crash.test_everywhere",
    ),
    Mutation(
        "no compaction", LOG,
        "        return self._file is not None and self._length > limit", "        return False",
        "tests.journal.test_log",
    ),
    Mutation(
        "lock skipped", "exampledriver/journal/lock.py",
        "            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)", "            pass",
        "tests.journal.test_lock",
    ),
    Mutation(
        "what is posted while another thread writes is forgotten",
        "exampledriver/journal/catalog.py",
        "            if self._wanted or self._closed or self._journal.due:\n",
        "            if self._closed:\n",
        "tests.journal.test_catalog",
    ),
    Mutation(
        "publish before the journal", CREATING,
        "        try:\n            await self._state.posted(written)\n",
        "        self._state.volumes[volume.name] = volume\n"
        "        try:\n            await self._state.posted(written)\n",
        "tests.volumes.test_service",
    ),
    Mutation(
        "a directory stays when the journal refuses the volume", CREATING,
        "            if new or origin is not None:\n"
        "                await self._undo(volume, origin)\n",
        "",
        "tests.volumes.test_service",
    ),
    Mutation(
        "data moved before the removal is journalled", REMOVING,
        "            (written,) = await self._state.threads(check_and_post, volume)\n"
        "            await self._state.posted(written)\n",
        "            await self._state.threads(self._state.backend.check_unused, volume)\n",
        "tests.volumes.test_service",
    ),
    Mutation(
        "a directory that a crash undid is not made again",
        "exampledriver/backends/directory.py",
        "                self._place(volume)\n", "",
        "tests.volumes.test_settling",
    ),
    Mutation(
        "a removal that a crash interrupted is not done again", SERVICE,
        "                removed.append(packer.volume(name, packed))\n", "                pass\n",
        "tests.crash.test_everywhere",
    ),
    Mutation(
        "a Mount does not wait for the directory to be durable", USING,
        "            await self._state.settler.settled(name)\n            job.path",
        "            job.path",
        "tests.crash.test_everywhere",
    ),
    Mutation(
        "a name comes again before its removal is durable", CREATING,
        'await self._state.settler.free(name, "the one', 'str("the one',
        "tests.crash.test_everywhere",
    ),
    Mutation(
        "a creation under way is taken for settled", "exampledriver/volumes/settling.py",
        "            whole = min([whole, *(g - 1 for g in self._beginning)])\n", "",
        "tests.volumes.test_settling",
    ),
    Mutation(
        "a pass makes again what is being removed", REMOVING,
        '            await self._state.settler.free(name, "it is being made durable")\n', "",
        "tests.volumes.test_settling",
    ),
    Mutation(
        "a removal taken for done where the root is not mounted",
        "exampledriver/backends/directory.py",
        "        elif not self.trash.path.is_dir():", "        elif False:",
        "tests.volumes.test_use",
    ),
    Mutation(
        "a directory made again where the root is not mounted", REGISTRY,
        "        if trouble:\n            raise", "        if False:\n            raise",
        "tests.volumes.test_use",
    ),
    Mutation(
        "a volume made where the root was unmounted meanwhile", ROOT,
        "        if self._identity() != self._was:", "        if False:",
        "tests.backends.test_root",
    ),
    Mutation(
        "a volume made where the root was not mounted at the start", ROOT,
        "        if absent:\n            what", "        if False:\n            what",
        "tests.backends.test_root",
    ),
    Mutation(
        "a copy made in a root that is another one", "exampledriver/volumes/copying.py",
        "            if trouble:", "            if False:", "tests.volumes.test_copies",
    ),
    Mutation(
        "a moved root looked for where it was", PACKED,
        "        where = self._place(name, wanted)", '        where = "/old/" + name',
        "tests.volumes.test_use",
    ),
    Mutation(
        "a packed volume is written without its generation", PACKED,
        "if generation else b", "if False else b", "tests.volumes.test_packed",
    ),
    Mutation(
        "the checksums of many records ignored", "exampledriver/journal/bulk.py",
        '        and b"".join(found) == sums.tobytes().hex().encode("ascii")\n', "",
        "tests.journal.test_damage",
    ),
    Mutation(
        "a change between two Lists is not seen", "exampledriver/volumes/listing.py",
        "        self.made = None\n", "", "tests.volumes.test_listing",
    ),
    Mutation(
        "counts of another boot believed", "exampledriver/volumes/ledger.py",
        'value.get("boot") == self.boot_id and ', "", "tests.volumes.test_use",
    ),
    Mutation(
        "a directory's parent not synced", "exampledriver/backends/durable.py",
        "        sync(path.parent)\n", "        pass\n",
        "tests.backends.test_durable",
    ),
    Mutation(
        "a deleted journal is noticed by no change", LOG,
        "        self.look()\n        if self._file is None:\n            # An",
        "        if self._file is None:\n            # An",
        "tests.journal.test_log",
    ),
    Mutation(
        "a deleted journal is noticed by changes only", LOG,
        "        self.look()\n        if not self.due:", "        if not self.due:",
        "tests.journal.test_log",
    ),
    Mutation(
        "a change is answered whose file was deleted meanwhile", LOG,
        "            self._leave()\n            raise self._failed(_gone())\n",
        "            self._leave()\n",
        "tests.journal.test_log",
    ),
    Mutation(
        "what took the journal's place is overwritten", LOG,
        "            if self._displaced:", "            if False:", "tests.journal.test_log",
    ),
    Mutation(
        "a deleted lock file is not noticed", "exampledriver/journal/files.py",
        "self.lock is None or self.lock.is_in_place()", "True", "tests.journal.test_files",
    ),
    Mutation(
        "a fresh journal is written to another file system", "exampledriver/journal/files.py",
        "            if found.st_dev != here.st_dev:", "            if False:",
        "tests.journal.test_files",
    ),
    Mutation(
        "a root with volumes is served with an empty map", "exampledriver/backends/adoption.py",
        "    if names and not adopt:", "    if False:", "tests.backends.test_adoption",
    ),
    Mutation(
        "a purge deletes before the slot is marked durably", TRASH,
        "                if marked:\n                    sync(self.path)\n",
        "                pass\n", "tests.volumes.test_purge",
    ),
    Mutation(
        "a purge deletes from a slot that is not marked", TRASH,
        "path = slot.path.with_name(slot.name + DELETING)", "path = slot.path",
        "tests.volumes.test_purge",
    ),
    Mutation(
        "a purge deletes what a crash may put back to its old place", TRASH,
        "        if unsynced:\n", "        if False:\n", "tests.volumes.test_purge",
    ),
    Mutation(
        "the trash is purged by the wall clock alone", TRASH,
        "return min(counted, self._ages.by_wall", "return max(counted, self._ages.by_wall",
        "tests.volumes.test_purge",
    ),
    Mutation(
        "what another boot has counted is forgotten", "exampledriver/backends/ages.py",
        "self._note = self._read() or _Note", "self._note = _Note", "tests.volumes.test_purge",
    ),
    Mutation(
        "a machine that was off is counted as running", "exampledriver/backends/ages.py",
        "if note.boot == boot else seconds\n", "if note.boot == boot else seconds + 1e6\n",
        "tests.volumes.test_purge",
    ),
    Mutation(
        "what is dated after the present is kept until then", "exampledriver/backends/ages.py",
        "        if at <= now:", "        if True:", "tests.volumes.test_purge",
    ),
    Mutation(
        "what a cut restore needs is purged at once", TRASH,
        "            if set(os.listdir(slot.path)) <= {MANIFEST}:", "            if False:",
        "tests.volumes.test_purge",
    ),
    Mutation(
        "snapshots are replaced early by a clock that jumps", "exampledriver/volumes/scheduling.py",
        "        if key in self._last and", "        if False and", "tests.volumes.test_scheduling",
    ),
    Mutation(
        "timers go by the wall clock", "exampledriver/daemon/steady.py",
        "    reactor.seconds = monotonic\n", "", "tests.daemon.test_steady",
    ),
    Mutation(
        "a full disk: the journal has nothing in reserve", "exampledriver/journal/files.py",
        "        if self._reserved < _LOW and", "        if False and", "tests.journal.test_files",
    ),
    Mutation(
        "a full disk: the slot in reserve is not used", TRASH,
        "            slot = self._from_spare(manifest, error)\n", "            raise\n",
        "tests.backends.test_full",
    ),
    Mutation(
        "a full disk: what is in reserve has no blocks", "exampledriver/backends/spare.py",
        "left = memoryview(content.ljust(_BYTES))", "left = memoryview(content)",
        "tests.backends.test_full",
    ),
    Mutation(
        "what was removed without the trash is not deleted after a crash",
        "exampledriver/volumes/purge.py", "            self._trash.finish()\n", "",
        "tests.backends.test_full",
    ),
    Mutation(
        "a removal without the trash that goes there", REMOVING,
        "                how = (now,) if now else ()\n", "                how = ()\n",
        "tests.volumes.test_service",
    ),
    Mutation(
        "a purge for space does not count what it has freed", TRASH,
        "                    blocks += taken.bytes // (space.f_frsize or 1)\n", "",
        "tests.backends.test_full",
    ),
    Mutation(
        "a purge for space begins with the newest", TRASH,
        "-(self._ages.counted(slot.name) // _A", "(self._ages.counted(slot.name) // _A",
        "tests.backends.test_full",
    ),
    Mutation(
        "a purge for space that nobody asked for", "exampledriver/volumes/purge.py",
        "            if self.below:\n                self._trash.relieve(self.below)",
        "            if True:\n                self._trash.relieve(self.below or 0.05)",
        "tests.backends.test_full",
    ),
    Mutation(
        "a partly deleted volume is restored as if it were whole",
        "exampledriver/volumes/removed.py",
        "        if one.partial and not partial:", "        if False:",
        "tests.volumes.test_administration",
    ),
    Mutation(
        "a directory whose file system is not mounted is mounted", PLACES,
        "return _difference(name, path, home, noted, found) if found != noted else \"\"",
        "return \"\"",
        "tests.volumes.test_places",
    ),
    Mutation(
        "an older volume's file system is not noted at its first Mount", USING,
        "                    await self._note_first_place(volume, job)\n",
        "                    pass\n",
        "tests.volumes.test_places",
    ),
    Mutation(
        "a change has no deadline", DEADLINES,
        "if now - job.began >= job.seconds", "if False", "tests.volumes.test_deadlines",
    ),
    Mutation(
        "a Mount that ends after its deadline is counted", USING,
        "                if job.late:\n", "                if False:\n",
        "tests.volumes.test_deadlines",
    ),
    Mutation(
        "a Create that was answered as late is made all the same", CREATING,
        "            try:\n                job.commit()\n",
        "            try:\n                pass\n",
        "tests.volumes.test_deadlines",
    ),
    Mutation(
        "a Remove that was answered as late removes all the same", REMOVING,
        "            job.commit()\n            job.waits", "            job.waits",
        "tests.volumes.test_deadlines",
    ),
    Mutation(
        "how a late change ends is not logged", DEADLINES,
        '        _log.warn(\n            "volume {name}: {what} has',
        '        _log.warn(\n            "{name} {what}', "tests.volumes.test_deadlines",
    ),
    Mutation(
        "a health check that does not end is not reported", HEALTH,
        "if asked is not None and now - asked.began >= OVERDUE:", "if False:",
        "tests.volumes.test_health",
    ),
    Mutation(
        "volumes are not checked after start-up", SWEEPING,
        "        self._health.seen(names[-1], remarkable)\n", "",
        "tests.volumes.test_health",
    ),
    Mutation(
        "the checks after start-up do not pause", SWEEPING,
        "max(_LEAST, _REST * took)", "0", "tests.volumes.test_health",
    ),
    Mutation(
        "a health check reads no directory", PLACES,
        "            _read(fd)\n", "", "tests.volumes.test_places",
    ),
    Mutation(
        "a file system that hangs takes every thread", "exampledriver/backends/gates.py",
        "            while len(inside) >= MOST:\n", "            while False:\n",
        "tests.volumes.test_health",
    ),
    Mutation(
        "a failed write to a mount is ignored", PROBING,
        "        _write(fd)\n", "        pass\n", "tests.backends.test_probing",
    ),
    Mutation(
        "what a copy-up has changed stays", COPYUP,
        "            owned.change(path, volume.options)\n", "            pass\n",
        "tests.volumes.test_copyup",
    ),
    Mutation(
        "what a container has changed is changed back", COPYUP,
        "        if held and self.filling", "        if not held and self.filling",
        "tests.volumes.test_copyup",
    ),
    Mutation(
        "the owner is set again in a volume with content", COPYUP,
        "next(entries, None) is None and not", "not", "tests.volumes.test_copyup",
    ),
    Mutation(
        "the owner is set again while another has the volume", COPYUP,
        "if not found or self._is_held(volume):", "if not found:", "tests.volumes.test_copyup",
    ),
    Mutation(
        "a volume is created in an engine that does not see it", "exampledriver/cli/engine.py",
        "        if seen is None:\n", "        seen = seen or {}\n        if False:\n",
        "tests.cli.test_engine",
    ),
    Mutation(
        "an engine that kept no options is believed", "exampledriver/cli/engine.py",
        "if (made.get(\"Options\") or {}, labels_of(made)) != (dict(options), dict(labels)):",
        "if False:", "tests.cli.test_engine",
    ),
    Mutation(
        "a restore forgets the labels", "exampledriver/volumes/removed.py",
        "_moment(one.created), one.backend, one.labels)", "_moment(one.created), one.backend)",
        "tests.volumes.test_administration",
    ),
]  # fmt: skip


def caught_by(mutation: Mutation, copy: Path) -> str:
    """Return the name of the first test that fails with a mutation, or an empty string."""
    path = copy / mutation.file
    text = path.read_text()
    assert text.count(mutation.old) == 1, f"{mutation.what}: occurs {text.count(mutation.old)}x"
    path.write_text(text.replace(mutation.old, mutation.new))
    try:
        found = subprocess.run(
            [sys.executable, "-m", "twisted.trial", "--exitfirst", mutation.test],
            cwd=copy,
            capture_output=True,
            text=True,
            timeout=300,
        )
    except subprocess.TimeoutExpired:
        return f"{mutation.test} (hangs)"
    finally:
        path.write_text(text)
    names = re.findall(rf"^{re.escape(mutation.test)}\.\w+\.\w+$", found.stdout, re.MULTILINE)
    return names[0] if found.returncode and names else ""


def main() -> int:
    """Run the program."""
    missed = 0
    print("| the code is broken so that … | caught by |\n|---|---|")
    with tempfile.TemporaryDirectory() as base:
        copy = Path(base, "copy")
        ignored = shutil.ignore_patterns(".git", ".venv", "_trial_temp*", ".hypothesis")
        shutil.copytree(HERE, copy, ignore=ignored)
        for mutation in MUTATIONS:
            name = caught_by(mutation, copy)
            missed += not name
            print(f"| {mutation.what} | {name or '**nothing**'} |", flush=True)
    print(f"\n{len(MUTATIONS)} mutations, {missed} not caught")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
