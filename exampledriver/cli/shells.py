"""Completion scripts for three shells, over one description of the commands.

What is the same for all: the words before the cursor choose a command; an option that takes a
value has the next word; names of volumes and of what is in the trash are asked of the daemon,
at the socket that the line names.
"""

from __future__ import annotations

import shlex

from attrs import frozen


@frozen
class Option:
    """An option of a command.

    :ivar flags: such as ``-q`` and ``--quiet``.
    :ivar takes: it has a value: a file's name, one of some words, or anything.
    """

    flags: tuple[str, ...]
    help: str
    takes: bool
    file: bool
    choices: tuple[str, ...]


@frozen
class Command:
    """A command, or one that has commands below it.

    :ivar words: that lead to it, such as ``volume ls``; empty for the program itself.
    :ivar commands: those below it, with their help.
    :ivar argument: what its arguments are: ``volumes``, ``removed``, ``files``, ``files volumes``
        or nothing known.
    :ivar choices: what its argument can be.
    """

    words: str
    commands: tuple[tuple[str, str], ...]
    options: tuple[Option, ...]
    argument: str
    choices: tuple[str, ...]


def _patterns(words: list[str]) -> str:
    return "|".join(map(shlex.quote, words))


def _ways(commands: list[Command]) -> str:
    return _patterns([command.words for command in commands if command.words])


def _with_values(commands: list[Command]) -> str:
    """Return case patterns of command and flag for every option that takes a value."""
    return _patterns(
        [
            f"{command.words} {flag}".strip()
            for command in commands
            for option in command.options
            if option.takes
            for flag in option.flags
        ]
    )


def _values(commands: list[Command], files: str, words: str) -> str:
    """Return the cases that complete an option's value."""
    lines = []
    for command in commands:
        for option in command.options:
            flags = [f"{command.words} {flag}".strip() for flag in option.flags]
            if option.file:
                lines.append(f"    {_patterns(flags)}) {files} ;;")
            elif option.choices:
                lines.append(f"    {_patterns(flags)}) {words % ' '.join(option.choices)} ;;")
    return "\n".join(lines)


#: Finds the command, the option whose value is at the cursor, and the socket.
_FIND = """\
  local way="" word="" value="" socket=""
  for word in "${before[@]}"; do
    if [[ $word == "=" ]]; then continue; fi
    if [[ -n $value ]]; then
      if [[ $value == *--admin ]]; then socket="$word"; fi
      value=""
      continue
    fi
    if [[ $word == --admin=* ]]; then socket="${word#--admin=}"; fi
    case "${way:+$way }$word" in
    @WITH_VALUES@) value="${way:+$way }$word" ;;
    @WAYS@) way="${way:+$way }$word" ;;
    esac
  done
"""

_BASH = """\
# bash completion for exampledriver; made by "exampledriver completion bash"
_exampledriver_ask() {
  if [[ -n $socket ]]; then exampledriver "$@" --admin "$socket" 2>/dev/null
  else exampledriver "$@" 2>/dev/null; fi
}

_exampledriver() {
  local current="${COMP_WORDS[COMP_CWORD]}" before=("${COMP_WORDS[@]:1:COMP_CWORD-1}")
  COMPREPLY=()
  if [[ $current == "=" ]]; then current=""; fi
@FIND@
  if [[ -n $value ]]; then
    case "$value" in
@VALUES@
    esac
    return
  fi
  local words="" kind=""
  case "$way" in
@COMMANDS@
  esac
  if [[ $current != -* ]]; then
    case "$kind" in
    files*) COMPREPLY=($(compgen -f -- "$current")) ;;&
    *volumes) words="$(_exampledriver_ask volume ls --quiet)" ;;
    removed) words="$(_exampledriver_ask trash list --quiet)" ;;
    esac
  fi
  COMPREPLY+=($(compgen -W "$words" -- "$current"))
}
complete -F _exampledriver exampledriver
"""


def bash(commands: list[Command]) -> str:
    """Return the script for bash."""
    cases = []
    for command in commands:
        flags = " ".join(flag for option in command.options for flag in option.flags)
        words = " ".join([*(name for name, _ in command.commands), *command.choices])
        cases.append(
            f"  {shlex.quote(command.words)}) kind={shlex.quote(command.argument)}\n"
            f"    if [[ $current == -* ]]; then words={shlex.quote(flags)}\n"
            f"    else words={shlex.quote(words)}; fi ;;"
        )
    values = _values(
        commands,
        'COMPREPLY=($(compgen -f -- "$current"))',
        'COMPREPLY=($(compgen -W "%s" -- "$current"))',
    )
    return _filled(_BASH, commands, values, cases)


_ZSH = """\
#compdef exampledriver
# zsh completion for exampledriver; made by "exampledriver completion zsh"
_exampledriver_ask() {
  if [[ -n $socket ]]; then exampledriver "$@" --admin "$socket" 2>/dev/null
  else exampledriver "$@" 2>/dev/null; fi
}

_exampledriver() {
  local current="${words[CURRENT]}"
  local -a before offered flags
  before=("${(@)words[2,CURRENT-1]}")
@FIND@
  if [[ -z $value && $current == --*=* ]]; then
    value="${way:+$way }${current%%=*}"
    compset -P '*='
  fi
  if [[ -n $value ]]; then
    case "$value" in
@VALUES@
    esac
    return
  fi
  local kind=""
  case "$way" in
@COMMANDS@
  esac
  if [[ $current == -* ]]; then _describe option flags; return; fi
  case "$kind" in
  "files volumes") _files; compadd -- ${(f)"$(_exampledriver_ask volume ls --quiet)"} ;;
  volumes) compadd -- ${(f)"$(_exampledriver_ask volume ls --quiet)"} ;;
  removed) compadd -- ${=${(f)"$(_exampledriver_ask trash list --quiet)"}} ;;
  files) _files ;;
  *) _describe command offered ;;
  esac
}
if [[ ${funcstack[1]} == _exampledriver ]]; then _exampledriver "$@"
else compdef _exampledriver exampledriver; fi
"""


def zsh(commands: list[Command]) -> str:
    """Return the script for zsh."""

    def described(pairs: list[tuple[str, str]]) -> str:
        texts = [name.replace(":", r"\:") + (f":{text}" if text else "") for name, text in pairs]
        return " ".join(map(shlex.quote, texts))

    cases = []
    for command in commands:
        flags = [(flag, option.help) for option in command.options for flag in option.flags]
        offered = [*command.commands, *((choice, "") for choice in command.choices)]
        cases.append(
            f"  {shlex.quote(command.words)}) kind={shlex.quote(command.argument)}\n"
            f"    flags=({described(flags)})\n    offered=({described(offered)}) ;;"
        )
    return _filled(_ZSH, commands, _values(commands, "_files", "compadd -- %s"), cases)


def _filled(text: str, commands: list[Command], values: str, cases: list[str]) -> str:
    found = _FIND.rstrip("\n").replace("@WITH_VALUES@", _with_values(commands))
    found = found.replace("@WAYS@", _ways(commands))
    text = text.replace("@FIND@", found).replace("@VALUES@", values)
    return text.replace("@COMMANDS@", "\n".join(cases))


_FISH = """\
# fish completion for exampledriver; made by "exampledriver completion fish"
function __exampledriver_way
  set -l way
  set -l value
  for word in (commandline -opc)[2..-1]
    if test -n "$value"
      set value
      continue
    end
    switch "$(string join -- ' ' $way $word)"
    case @WITH_VALUES@
      set value yes
    case @WAYS@
      set -a way $word
    end
  end
  string join -- ' ' $way
end

function __exampledriver_at
  test "$(__exampledriver_way)" = "$argv[1]"
end

function __exampledriver_ask
  set -l words (commandline -opc)
  set -l socket
  for number in (seq (count $words))
    if string match -q -- '--admin=*' $words[$number]
      set socket $words[$number]
    else if test "$words[$number]" = --admin -a $number -lt (count $words)
      set socket --admin=$words[(math $number + 1)]
    end
  end
  exampledriver $argv $socket 2>/dev/null
end

complete -c exampledriver -f
"""


def fish(commands: list[Command]) -> str:
    """Return the script for fish."""
    with_values = _with_values(commands).replace("|", " ")
    ways = _ways(commands).replace("|", " ")
    lines = [_FISH.replace("@WITH_VALUES@", with_values).replace("@WAYS@", ways)]
    asks = {
        "volumes": "-a '(__exampledriver_ask volume ls --quiet)'",
        "removed": "-a '(__exampledriver_ask trash list --quiet | string split \" \")'",
        "files": "-F",
        "files volumes": "-F -a '(__exampledriver_ask volume ls --quiet)'",
    }
    for command in commands:
        at = f"complete -c exampledriver -n {_fish(f'__exampledriver_at {_fish(command.words)}')}"
        lines += [f"{at} -a {_fish(name)} -d {_fish(text)}" for name, text in command.commands]
        lines += [f"{at} -a {_fish(choice)}" for choice in command.choices]
        if command.argument:
            lines.append(f"{at} {asks[command.argument]}")
        for option in command.options:
            flags = " ".join(
                f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}"
                for flag in option.flags
            )
            value = "" if not option.takes else " -r -F" if option.file else " -x"
            value += f" -a {_fish(' '.join(option.choices))}" if option.choices else ""
            lines.append(f"{at} {flags}{value} -d {_fish(option.help)}")
    return "\n".join(lines) + "\n"


def _fish(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
