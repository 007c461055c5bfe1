"""The journal's thread, on real files: group commit, order, failures, closing."""

from __future__ import annotations

import errno
from pathlib import Path
from threading import Event, Thread, current_thread
from typing import Any

from attrs import define, field
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from exampledriver.journal import CatalogError, ICatalog, Journal, catalog, open_journal
from exampledriver.journal.log import Log
from tests.process import until

from .crashfiles import CrashFiles

reactor: Any = _reactor


@define(eq=False)
class Gate:
    """A plan that holds the journal's thread at a call until it is opened."""

    call: str
    open: Event = field(factory=Event)
    reached: Event = field(factory=Event)
    calls: list[str] = field(factory=list)

    def __call__(self, call: str) -> None:
        self.calls.append(call)
        if call == self.call:
            self.reached.set()
            assert self.open.wait(10)


class JournalTests(TestCase):
    """A catalog over a journal."""

    def journal(self, files: CrashFiles | None = None) -> Journal:
        """Return a journal over a fake's files, closed after the test."""
        log = Log(files if files is not None else CrashFiles())
        log.open()
        journal = Journal(reactor, log)
        self.addCleanup(journal.close)
        return journal

    def test_interface(self) -> None:
        """A journal is a catalog."""
        verifyObject(ICatalog, self.journal())

    async def test_real_files(self) -> None:
        """What was put and deleted is there when the journal is opened again."""
        path = Path(self.mktemp())
        path.mkdir()
        journal = open_journal(path, reactor)
        await gatherResults([journal.put(f"k{n}", {"n": n}) for n in range(100)])
        await journal.delete("k7")
        await journal.delete("never there")
        await journal.close()
        again = open_journal(path, reactor)
        self.assertEqual(dict(again.entries()), {f"k{n}": {"n": n} for n in range(100) if n != 7})
        await again.close()

    async def test_watch(self) -> None:
        """An idle journal that is deleted is there again within some seconds (J13)."""
        path = Path(self.mktemp())
        path.mkdir()
        journal = open_journal(path, reactor)
        self.addCleanup(journal.close)
        await journal.put("a", {})
        (path / "journal").unlink()
        journal.watch()
        await deferToThread(until, (path / "journal").exists, "the fresh journal")
        self.assertEqual(dict(open_journal(path, reactor).entries()), {"a": {}})

    async def test_group_commit(self) -> None:
        """Changes that are asked for during a sync share the next one (J5)."""
        files = CrashFiles()
        journal = self.journal(files)
        gate = Gate("sync")
        files.plan = gate
        first = journal.put("first", {})
        assert gate.reached.wait(10)
        others = [journal.put(f"k{n}", {}) for n in range(50)]
        self.assertFalse(first.called)
        gate.open.set()
        await gatherResults([first, *others])
        self.assertEqual(gate.calls, ["write", "sync"] * 2)

    async def test_not_before_the_sync(self) -> None:
        """A change is not answered before its fdatasync has returned (J1)."""
        files = CrashFiles()
        journal = self.journal(files)
        gate = Gate("sync")
        files.plan = gate
        change = journal.put("a", {})
        assert gate.reached.wait(10)
        await turn()
        self.assertFalse(change.called)
        gate.open.set()
        await change

    async def test_posted(self) -> None:
        """What was posted waits for company, and is written before what was asked for later."""
        files = CrashFiles()
        journal = self.journal(files)
        gate = Gate("")
        files.plan = gate
        posted = journal.post("a", {"n": 1})
        await turn()
        self.assertEqual(gate.calls, [])
        await journal.put("a", {"n": 2})
        self.assertTrue(posted.called)
        self.assertEqual(dict(journal.entries()), {"a": {"n": 2}})
        self.assertEqual(gate.calls, ["write", "sync"])

    async def test_begin(self) -> None:
        """Somebody who cannot wait has the journal's thread write what was posted."""
        journal = self.journal()
        posted = journal.post("a", {})
        journal.begin()
        await posted

    async def test_flush(self) -> None:
        """A thread writes itself what it has posted, all at once, and answers after the sync."""
        files = CrashFiles()
        journal = self.journal(files)
        threads: list[Thread] = []

        def plan(call: str) -> None:
            threads.append(current_thread())

        files.plan = plan
        posted = [journal.post(f"k{n}", {}) for n in range(3)]
        journal.flush()
        self.assertEqual(threads, [current_thread()] * 2)
        await gatherResults(posted)
        self.assertEqual(len(dict(journal.entries())), 3)

    async def test_flush_meanwhile(self) -> None:
        """What is posted while another thread writes is written by the journal's, with no flush."""
        # Long before it looks at the file.
        self.patch(catalog, "LOOK_EVERY", 3600.0)
        files = CrashFiles()
        journal = self.journal(files)
        for at_work in (journal.begin, lambda: deferToThread(journal.flush)):
            gate = Gate("sync")
            files.plan = gate
            first = journal.post("a", {})
            at_work()
            assert gate.reached.wait(10)
            second = journal.post("b", {})
            journal.flush()
            self.assertFalse(first.called)
            gate.open.set()
            await gatherResults([first, second])

    async def test_flush_fails(self) -> None:
        """A batch that fails in another thread than the journal's fails each of its changes."""
        files = CrashFiles()
        journal = self.journal(files)
        failures = [errno.ENOSPC]
        files.plan = lambda call: failures.pop() if call == "write" and failures else None
        posted = journal.post("a", {})
        journal.flush()
        await self.assertFailure(posted, CatalogError)
        await journal.put("b", {})

    async def test_bug_in_a_flush(self) -> None:
        """A bug in another thread fails what waits and what comes, and is logged."""
        files = CrashFiles()
        journal = self.journal(files)

        def broken(call: str) -> None:
            raise ZeroDivisionError

        files.plan = broken
        posted = journal.post("a", {})
        journal.flush()
        await self.assertFailure(posted, CatalogError)
        await self.assertFailure(journal.put("b", {}), CatalogError)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    async def test_flush_compacts(self) -> None:
        """A compaction that is due after a flush is done by the journal's thread."""
        files = CrashFiles()
        log = Log(files, slack=100)
        log.open()
        journal = Journal(reactor, log)
        for number in range(30):
            posted = journal.post("a", {"n": number})
            journal.flush()
            await posted
        await journal.close()
        self.assertLess(files.used(), 600)

    async def test_close_finishes_what_was_posted(self) -> None:
        """Closing writes what was posted."""
        journal = self.journal()
        posted = journal.post("a", {})
        await journal.close()
        await posted
        await self.assertFailure(journal.post("late", {}), CatalogError)

    async def test_failure(self) -> None:
        """A batch that fails fails each of its changes, and the next one works."""
        files = CrashFiles()
        journal = self.journal(files)
        failures = [errno.ENOSPC]
        files.plan = lambda call: failures.pop() if call == "write" and failures else None
        await self.assertFailure(journal.put("a", {}), CatalogError)
        await journal.put("b", {})
        self.assertEqual(set(dict(journal.entries())), {"b"})

    async def test_close_finishes(self) -> None:
        """Closing waits for what was asked for; what comes later is refused."""
        journal = self.journal()
        changes = [journal.put(f"k{n}", {}) for n in range(20)]
        closed = journal.close()
        await self.assertFailure(journal.put("late", {}), CatalogError)
        await closed
        self.assertTrue(all(change.called for change in changes))
        await gatherResults(changes)

    async def test_bug_in_the_thread(self) -> None:
        """A bug that ends the thread fails what waits and what comes, and is logged."""
        files = CrashFiles()
        journal = self.journal(files)

        def broken(call: str) -> None:
            raise ZeroDivisionError

        files.plan = broken
        await self.assertFailure(journal.put("a", {}), CatalogError)
        await self.assertFailure(journal.put("b", {}), CatalogError)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    async def test_compacts_when_idle(self) -> None:
        """A compaction that is due ends without another change."""
        files = CrashFiles()
        log = Log(files, slack=100)
        log.open()
        journal = Journal(reactor, log)
        for number in range(30):
            await journal.put("a", {"n": number})
        await journal.close()
        self.assertLess(files.used(), 600)


def turn() -> Deferred[None]:
    """Return a Deferred that fires in the reactor's next turn."""
    done: Deferred[None] = Deferred()
    reactor.callLater(0, done.callback, None)
    return done
