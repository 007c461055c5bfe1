"""Running the real command against a daemon; kept out of the test modules."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from tests.process import PATIENCE, Daemon


def admin(daemon: Daemon, *words: str) -> subprocess.CompletedProcess[str]:
    """Run ``exampledriver`` with a daemon's socket, to its end; nobody is at the terminal."""
    return subprocess.run(
        [os.path.join(os.path.dirname(sys.executable), "exampledriver"), *words],
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
        stdin=subprocess.DEVNULL,
        cwd="/",
        env={
            **os.environ,
            "EXAMPLEDRIVER_ADMIN": str(daemon.base / "run/admin.sock"),
            "DOCKER_HOST": f"unix://{daemon.base}/docker.sock",
        },
    )


def done(daemon: Daemon, *words: str) -> str:
    """Run a command that succeeds; return what it printed."""
    found = admin(daemon, *words)
    assert found.returncode == 0, f"{words}: {found.stdout}{found.stderr}"
    return found.stdout


def refused(daemon: Daemon, *words: str) -> str:
    """Run a command that fails with exit status 1; return what it printed for errors."""
    found = admin(daemon, *words)
    assert found.returncode == 1, f"{words}: {found.returncode}: {found.stdout}{found.stderr}"
    assert "Traceback" not in found.stderr, found.stderr
    return found.stderr


def loaded(daemon: Daemon, *words: str) -> Any:
    """Run a command that succeeds; return the JSON that it printed."""
    return json.loads(done(daemon, *words))
