"""``exampledriver completion``: what shells offer at the Tab key, made from the parser itself."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from typing import Any

from . import shells, trash, volume
from .shells import Command, Option

_SHELLS: dict[str, Callable[[list[Command]], str]] = {
    "bash": shells.bash,
    "zsh": shells.zsh,
    "fish": shells.fish,
}

_HOW = """\
bash: exampledriver completion bash > /etc/bash_completion.d/exampledriver
zsh:  exampledriver completion zsh > /usr/local/share/zsh/site-functions/_exampledriver
fish: exampledriver completion fish > /etc/fish/completions/exampledriver.fish
"""


def add_to(rooms: Any, parser: Callable[[], argparse.ArgumentParser]) -> None:
    """Add the command to the parser's commands.

    :param parser: makes the whole parser.
    """
    text = "print a script that completes this command's words in a shell"
    command = rooms.add_parser(
        "completion",
        help=text,
        description=f"{text[0].upper()}{text[1:]}.",
        epilog=_HOW,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("shell", choices=sorted(_SHELLS))
    command.set_defaults(action=lambda options: _show(options.shell, parser()))


def _show(shell: str, parser: argparse.ArgumentParser) -> int:
    print(_SHELLS[shell](list(commands(parser))), end="")
    return 0


def commands(parser: argparse.ArgumentParser, words: str = "") -> Iterator[Command]:
    """Yield every command of a parser, itself first."""
    names: list[tuple[str, str]] = []
    below: list[tuple[str, argparse.ArgumentParser]] = []
    options: list[Option] = []
    arguments: list[str] = []
    choices: tuple[str, ...] = ()
    # argparse has no public way to ask a parser for what was added to it.
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {choice.dest: choice.help or "" for choice in action._choices_actions}
            for name, parser_below in action.choices.items():
                # An alias has no help of its own, and is not offered.
                if name in helps:
                    names.append((name, helps[name]))
                below.append((name, parser_below))
        elif action.option_strings:
            options.append(_option(action))
        elif action.choices:
            choices = tuple(map(str, action.choices))
        else:
            arguments.append(_argument(str(action.metavar or action.dest)))
    argument = " ".join(sorted({*arguments} - {""}))
    yield Command(words, tuple(names), tuple(options), argument, choices)
    for name, parser_below in below:
        yield from commands(parser_below, f"{words} {name}".strip())


def _option(action: argparse.Action) -> Option:
    choices = tuple(map(str, action.choices or ()))
    takes = action.nargs != 0
    text = (action.help or "").partition(" (default")[0].replace("%%", "%")
    file = takes and not choices and action.metavar in ("DIR", "FILE", "SOCKET")
    return Option(tuple(action.option_strings), text, takes, file, choices)


def _argument(metavar: str) -> str:
    if metavar == volume.VOLUME:
        return "volumes"
    if metavar == trash.REMOVED:
        return "removed"
    return "files" if metavar in ("DIR", "FILE", "state") else ""
