"""``python -m exampledriver.plugin``: what the author of a plugin needs at hand."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from .new import KINDS, NewError, write_project


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out a command; return its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m exampledriver.plugin",
        description="Write Docker plugins in Python.",
        epilog="A plugin that runs is judged by python -m exampledriver.plugin.check SOCKET.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    new = commands.add_parser(
        "new",
        help="write a small, complete, tested plugin to start from",
        description="Write a project into a new directory: a driver that works, its tests and the "
        "conformance suite of its kind, a program that serves it, and a README that says how to "
        "run them.",
        epilog="example: python -m exampledriver.plugin new notes --kind volume",
    )
    new.add_argument("name", metavar="NAME", help="how engines find the plugin")
    new.add_argument("--kind", choices=KINDS, default="volume", help="[default: volume]")
    new.add_argument("--directory", metavar="DIR", help="where to write it [default: NAME]")
    options = parser.parse_args(argv)

    directory = Path(options.directory or options.name)
    try:
        write_project(options.name, options.kind, directory)
    except NewError as error:
        print(f"new: {error}", file=sys.stderr)
        return 1
    readme = directory / "README.md"
    print(f"{directory}: a plugin of kind {options.kind}; {readme} says what is next")
    return 0


if __name__ == "__main__":
    sys.exit(main())
