"""What the measuring was done on."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import date
from pathlib import Path


def told(*words: str) -> str:
    """Return what a program prints, or an empty text if it is not there."""
    try:
        found = subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603
    except FileNotFoundError:
        return ""
    return found.stdout.strip()


def model() -> str:
    """Return the processor's name."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return platform.machine()


def machine(directory: str) -> dict[str, str]:
    """Return what matters of this machine, in the page's order.

    :param directory: where the servers' files are.
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    go = told("build/go/go/bin/go", "version").split()
    return {
        "date": date.today().isoformat(),
        "processors": f"{os.cpu_count()} of {model()}",
        "memory": f"{memory:.0f} GiB",
        "kernel": f"Linux {platform.release()}",
        "file system": told("stat", "-f", "-c", "%T", directory),
        "Python": platform.python_version(),
        "Go": go[2].removeprefix("go") if len(go) > 2 else "",
        "Docker Engine": told("dockerd", "--version").partition(",")[0].rpartition(" ")[2],
    }
