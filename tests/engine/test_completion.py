"""What zsh and fish offer at the Tab key, from the real ones, which CI installs."""

from __future__ import annotations

import os
import pty
import select
import subprocess

from exampledriver.cli import shells
from tests.cli import completion_suite
from tests.process import PATIENCE, until

#: An interactive zsh that writes down what is offered. _describe asks compadd for lists, by -O,
#: -A and -D, before it offers anything.
_ZSHRC = """
PS1=
autoload -U compinit && compinit -D -u
source "$SCRIPT"
compadd() {
  local -a hits
  if [[ ${@[1,(i)(-|--)]} != *-[OAD](| *) ]]; then
    builtin compadd -A hits "$@"
    print -rl -- $hits >>"$HITS"
  fi
  builtin compadd "$@"
}
offered() { zle complete-word; zle kill-whole-line; print -n >"$DONE"; }
zle -N offered
bindkey '^I' offered
print -n >"$DONE"
"""

_FISH = 'source $SCRIPT; complete -C "$argv"'


class ZshTests(completion_suite.CompletionSuite):
    """The script, sourced by a zsh at a terminal."""

    script = staticmethod(shells.zsh)

    def setUp(self) -> None:
        super().setUp()
        self.hits, self.done = self.base / "hits", self.base / "done"
        (self.base / ".zshrc").write_text(_ZSHRC)
        self.terminal, other = pty.openpty()
        self.addCleanup(os.close, self.terminal)
        shell = subprocess.Popen(
            ["zsh", "-d", "-i"],
            stdin=other,
            stdout=other,
            stderr=other,
            start_new_session=True,
            env={
                **self.environment,
                "TERM": "dumb",
                "ZDOTDIR": str(self.base),
                "HITS": str(self.hits),
                "DONE": str(self.done),
            },
        )
        os.close(other)
        self.addCleanup(shell.wait)
        self.addCleanup(shell.kill)
        self.wait()

    def wait(self) -> None:
        """Wait for the shell, and read away what it shows."""

        def done() -> bool:
            if select.select([self.terminal], [], [], 0)[0]:
                os.read(self.terminal, 4096)
            return self.done.exists()

        until(done, "zsh")

    def offered(self, *words: str) -> set[str]:
        self.hits.write_text("")
        self.done.unlink()
        os.write(self.terminal, " ".join(["exampledriver", *words]).encode() + b"\t")
        self.wait()
        return set(self.hits.read_text().split())


class FishTests(completion_suite.CompletionSuite):
    """The script, sourced by fish."""

    script = staticmethod(shells.fish)

    def offered(self, *words: str) -> set[str]:
        found = subprocess.run(
            ["fish", "-N", "-c", _FISH, " ".join(["exampledriver", *words])],
            env={**self.environment, "HOME": str(self.base)},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        self.assertEqual((found.returncode, found.stderr), (0, ""))
        return {line.split("\t")[0] for line in found.stdout.splitlines()}
