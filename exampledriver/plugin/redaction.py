"""What is a secret, and what a log, an error or a ``Status`` shows in its place.

There is one list of what is a secret, here. :func:`secret_in` finds one in an option, so that
a driver can refuse it; :func:`shown`, :func:`hidden`, :func:`masked` and :func:`quoted` return
what may be shown of a message, of options, of a text and in an error.

A secret is recognised by the name in front of it (``password=``, ``sftp-pass=``,
``"secretAccessKey": ``), by its place (``user:password@host``, ``username=user%password``), or by
its form (a private key). It errs on the side of hiding: what follows a secret may be hidden too.
Every step is linear in the length of a text: it comes from outside, and the reactor waits.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from urllib.parse import unquote

#: Parts of a name, as letters alone, that make it a secret's wherever they are.
_PARTS = re.compile(
    "password|passwd|passwort|passphrase|passcode|secret(?!ar|ion|ing|iv)|token(?!i[sz])"
    "|credential|(?:api|access|private|shared|account|master|encryption|signing)key"
)
#: Words that make a name a secret's, and endings of such words.
_WORDS = frozenset(
    (
        "pass",
        "passw",
        "passwrd",
        "pwd",
        "pswd",
        "pw",
        "psk",
        "cred",
        "creds",
        "jwt",
        "bearer",
        "sas",
    )
)
_ENDINGS = ("pass", "pwd", "pw", "sshkey", "sslkey")
_NO_ENDINGS = frozenset(
    ("bypass", "compass", "encompass", "extpass", "overpass", "surpass", "trespass", "underpass")
)
#: Last words that do, unless another word in front of them says otherwise.
_LAST = frozenset(("auth", "authorization", "cookie", "key", "keys", "sig", "signature"))
_PUBLIC = frozenset(("ecryptfs", "foreign", "host", "known", "pub", "public", "sort"))
#: Last words of a name that is of something about a secret, and is not the secret.
_ABOUT = frozenset(
    word
    for words in (
        "agent algorithm algorithms authentication authentications bits bytes checking cipher cmd",
        "command count endpoint expires expiry format id ids len length lifetime max method min",
        "mode policy prompt prompts required size tab through timeout ttl type uri url version",
    )
    for word in words.split()
)
#: Last words of a name that is of a file with a secret: an absolute path is not a secret then.
_FILES = frozenset(("dir", "directory", "file", "filename", "files", "path"))
#: Words whose names are switched as often as they are secrets, as in ``env_auth=true``.
_SWITCHED = frozenset(("auth", "cookie", "credential", "key", "keys", "token"))
_SWITCHES = frozenset(("0", "1", "false", "no", "none", "off", "on", "true", "yes"))
#: Names that are those of a file, if an absolute path follows.
_FILES_TOO = frozenset(
    ("cred", "credential", "credentials", "creds", "key", "privatekey", "sshkey", "sslkey")
)

_CAMEL = re.compile("[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\\W\\d_A-Za-z]+")

#: A name and what assigns a value to it: ``=``, ``:``, ``=>``, or the end of an XML tag.
_NAMED = re.compile(
    r"""(?<![\w.%-])([\w.%-]+)(?:\[[^\]\[]{0,64}\])?\\*["']?\s*(?:=>|:=|[:=>])\s*\\*"""
)
#: ``--name value`` of a command line, ``{"password value": ""}``, which is an option whose = was
#: forgotten, and ``password value`` of a .netrc file.
_FLAG = re.compile(r"""(?<![^\s"',;=\[])--?([\w.-]+)\s+(?=\S)""")
_SPACED = re.compile(r"""["']([\w.-]+)\s+([^"']+)["']\s*:""")
_NETRC = re.compile(r"\blogin\s+\S+\s+(?:account\s+\S+\s+)?password\s+(?=\S)", re.IGNORECASE)
#: A private key, Amazon's pair of keys as s3fs has it, and the value of a header of HTTP.
_FORMS = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY|\bA[KS]IA[A-Z0-9]{12,}:(?=\S)"
    r"|\b(?:Bearer|Basic)\s+(?=[A-Za-z0-9._~+/=-]{16})"
)
#: Tokens that say so themselves: of GitHub, GitLab, Slack and Google, and JSON Web Tokens.
_TOKENS = re.compile(
    r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|xox[abeprs]-[\w-]{10,}"
    r"|AIza[\w-]{30,}|eyJ[\w-]{8,}\.[\w-]{8,})"
)
#: A user's name before a password and a host, as in ``user:password@host``; and its like that
#: are none: ``host:/path@x``, ``host:port/path@x``, ``host:port:/path@x``, ``host:port,…``.
_USER = re.compile(r"""(?<![^\s"'=,;({])[^\s"'=,;:/\[\]]{0,256}:(?!/|\d{1,5}[:/,])""")
_PORT = re.compile(r"\d{0,5}(?:/|$)")
#: Escapes that say no more than a sign of a user's name in a URL.
_NO_PERCENT = re.compile("%(?:20|2[bdeBDE]|40|5[cC])")

#: Where the next value of a list begins: with its name, for a secret may have a comma in it.
_NEXT = re.compile(
    r"""[,&;]\s*[\w.%-]+\s*=|[,{]\s*\\*"[\w.%-]+\\*"\s*:|\n[^\S\n]*[\w.%-]+\s*[:=]|</"""
)
_QUOTED = re.compile(
    r""""(?:[^"\\]|\\.|"")*"(?=$|[\s,;&:}\])'])|'(?:[^'\\]|\\.|'')*'(?=$|[\s,;&:}\])"])"""
)
_BLANK = re.compile(r"\s")
_BLANK_OR_QUOTE = re.compile(r"""[\s"']""")
_QUOTES = {quote: re.compile(rf"(?<!\\){quote}") for quote in "\"'"}
_ESCAPE = re.compile(r"(?<!\\)\\+(?:u(?:0000)?([0-9a-f]{4})|x([0-9a-f]{2}))", re.IGNORECASE)

#: What no way to tell a secret can do without.
_SUSPECT = re.compile(
    "[:=@>\uff1a\uff1d]|--|%[0-9a-f]|login|basic|bearer|gh[pousr]_|_pat_|glpat|xox|aiza|eyj",
    re.IGNORECASE,
)

#: What is shown in a secret's place.
HIDDEN = "***"
_INSIDE = "has a secret in it"
#: How many characters of a text are read, and shown; entries of a collection; levels of it.
_READ, _CHARACTERS, _ENTRIES, _DEPTH = 4096, 200, 20, 4
#: How many characters all of a message may take.
_ALL = 10_000
#: How many characters of a line of a log are read, and shown.
_LINE = 1 << 14
#: How long names are whose kinds are kept, in characters.
_KNOWN = 64
#: How much of a text from outside an error repeats, in characters.
_ECHOED = 80

#: A secret in a text: where it begins and ends, and what it is, in words that are not of it.
_Span = tuple[int, int, str]


def _kind(name: str) -> tuple[str, str]:
    """Return what is named so, and the word that says it; see :func:`_kind_of`."""
    return _known_kind(name) if len(name) <= _KNOWN else _kind_of(name[:_READ])


def _kind_of(name: str) -> tuple[str, str]:
    """Return what is named so, and the word that says it.

    It is ``secret``; ``file``, whose value is not a secret if it is an absolute path; or nothing.
    """
    words = [word.lower() for word in _CAMEL.findall(unquote(name))]
    if not words:
        return "", ""
    joined, last = "".join(words), words[-1]
    part = _PARTS.search(joined)
    if part:
        found = part[0]
    elif last in _LAST and not _PUBLIC.intersection(words):
        found = last
    else:
        whole = (word for word in words if word in _WORDS)
        ends = (
            end
            for word in words
            if word not in _NO_ENDINGS
            for end in _ENDINGS
            if word.endswith(end)
        )
        found = next(whole, "") or next(ends, "")
    if not found:
        return "", ""
    if last in _FILES or joined.endswith(("file", "path")) or joined in _FILES_TOO:
        return "file", found
    if last in _ABOUT and not (last == "id" and "secret" in joined):
        return "", ""
    return "secret", found


_known_kind = lru_cache(maxsize=4096)(_kind_of)


def _is_user(name: str) -> bool:
    return name.lower().endswith(("user", "username", "login"))


def _is_secret(name: str, value: str) -> bool:
    """Tell whether the value of a name is a secret."""
    kind, word = _kind(name)
    if kind == "file":
        return not value.lstrip("\\\"'").startswith("/")
    return kind == "secret" and not (word in _SWITCHED and value.lower() in _SWITCHES)


class _Text:
    """A text that is looked through for secrets.

    :ivar sentence: it is one, in which a value ends at a blank; otherwise it is a value.
    """

    def __init__(self, text: str, sentence: bool) -> None:
        self.text, self.sentence = text, sentence
        self._next: list[int] | None = None
        #: Where each sign was looked for last, and where it is.
        self._signs: dict[re.Pattern[str], tuple[int, int]] = {}

    def _until(self, begin: int) -> int:
        """Return where a value ends at the latest that begins somewhere."""
        if self._next is None:
            self._next = [found.start() for found in _NEXT.finditer(self.text)]
        at = bisect_left(self._next, begin)
        return self._next[at] if at < len(self._next) else len(self.text)

    def _first(self, sign: re.Pattern[str], begin: int) -> int:
        """Return where a sign is next; the end of the text if it does not come again."""
        asked, at = self._signs.get(sign, (len(self.text) + 1, 0))
        if not asked <= begin <= at:
            found = sign.search(self.text, begin)
            at = found.start() if found else len(self.text)
            self._signs[sign] = begin, at
        return at

    def _end(self, begin: int) -> int:
        """Return where a secret ends that begins somewhere."""
        whole = _QUOTED.match(self.text, begin, begin + _READ)
        if whole:
            return whole.end()
        if self.text[begin : begin + 1] in ("{", "["):
            return len(self.text)  # all that is in it, and more
        end = self._until(begin)
        if self.sentence:
            # What follows "password=" may have blanks; after "password:" the sentence goes on.
            quotes = [
                ends for quote, ends in _QUOTES.items() if self.text.count(quote, 0, begin) % 2
            ]
            if quotes or self.text[:begin].rstrip()[-1:] != "=":
                end = min(end, self._first(quotes[0] if quotes else _BLANK, begin + 1))
        return end

    def spans(self) -> Iterator[_Span]:
        """Yield the secrets, each kind of them in order; they may overlap."""
        text = self.text
        for found in _NAMED.finditer(text):
            name, begin = found[1], found.end()
            if found[0].endswith(":") and text.startswith("/", begin):
                continue  # host:/path
            if not (_kind(name)[0] or _is_user(name)):
                continue
            end = self._end(begin)
            if _is_secret(name, text[begin : min(begin + 9, end)]):
                yield begin, end, f'{_INSIDE} ("{_kind(name)[1]}")'
            elif _is_user(name):
                parted = [at for at in (text.find(sign, begin, end) for sign in "%:") if at >= 0]
                if parted:
                    yield min(parted) + 1, end, "has a password after the user's name"
        for found in _FLAG.finditer(text):
            if _kind(found[1])[0] == "secret":
                yield found.end(), self._end(found.end()), _INSIDE
        for found in _SPACED.finditer(text):
            if _kind(found[1])[0] == "secret":
                yield found.start(2), found.end(2), _INSIDE
        for found in _NETRC.finditer(text):
            yield found.end(), self._end(found.end()), _INSIDE
        for found in _FORMS.finditer(text):
            yield found.end(), len(text), _INSIDE
        for found in _TOKENS.finditer(text):
            yield found.start(), found.end(), _INSIDE
        if "@" in text:
            yield from self._before_hosts()

    def _before_hosts(self) -> Iterator[_Span]:
        text = self.text
        why = "has a password before the @"
        begin = text.find("//")
        while begin >= 0:
            begin += 2
            end = self._first(_BLANK_OR_QUOTE, begin) if self.sentence else len(text)
            at = text.rfind("@", begin, end)
            info = text[begin:at] if at >= 0 else ""
            colon = info.find(":")
            in_path = -1 < info.find("/") < colon
            escaped = "%" in _NO_PERCENT.sub("", info.partition("/")[0])
            if escaped or (colon >= 0 and not in_path and not _is_port(info, colon)):
                yield begin, at, why
            begin = text.find("//", begin)
        for found in _USER.finditer(text):
            begin = found.end()
            end = self._until(begin)
            before = text[: found.start()][-1:]
            if self.sentence or before.isspace():
                end = min(end, self._first(_QUOTES.get(before, _BLANK_OR_QUOTE), begin))
            at = text.rfind("@", begin, end)
            if at > begin:
                yield begin, at, why


def _is_port(info: str, colon: int) -> bool:
    """Tell whether a port follows a colon of ``host:port/path``, which an @ comes after."""
    rest = info[colon + 1 :]
    return not rest.startswith("/") and "/" in rest and _PORT.match(rest) is not None


def _plain(text: str) -> str:
    """Return a text as people read it: without escapes, three deep at most, and unseen signs."""
    for _ in range(3):
        plain = _ESCAPE.sub(lambda found: chr(int(found[1] or found[2], 16)), unquote(text))
        if plain == text:
            break
        text = plain
    if text.isascii() and text.isprintable():
        return text
    text = unicodedata.normalize("NFKC", text)
    return "".join(sign for sign in text if sign.isprintable() or sign.isspace())


def _spans(text: str, sentence: bool = False) -> list[_Span]:
    """Return the secrets in a text, in order, without those that lie in others."""
    if not _SUSPECT.search(text):
        return []
    found = sorted(_Text(text, sentence).spans())
    if not found and ("%" in text or "\\" in text or not (text.isascii() and text.isprintable())):
        plain = _plain(text)
        if plain != text:
            hidden = next(_Text(plain, sentence).spans(), None)
            return [(0, len(text), hidden[2])] if hidden else []
    joined: list[_Span] = []
    for begin, end, why in found:
        if joined and begin <= joined[-1][1]:
            first, last, its = joined[-1]
            joined[-1] = first, max(last, end), its
        else:
            joined.append((begin, end, why))
    return joined


def secret_in(name: str, value: str) -> str:
    """Return what makes an option a secret, such as ``is a secret``; empty if nothing does.

    The name is looked through too. No word of the value is in what is returned.
    """
    why = _named_secret(name, value)
    if not why:
        found = _spans(value) or _spans(name)
        why = found[0][2] if found else ""
    return why


def _named_secret(name: str, value: str) -> str:
    """Return what makes the whole value of an option a secret; empty if nothing does."""
    if _is_secret(name, value):
        return "is a secret"
    if _is_user(name) and ("%" in value or ":" in value):
        return "has a password after the user's name"
    return ""


def hidden(value: str, sentence: bool = False) -> str:
    """Return a text, all of it, with secrets hidden.

    :param sentence: it is one, in which a value ends at a blank.
    """
    found = _spans(value, sentence)
    if not found:
        return value
    pieces, at = [], 0
    for begin, end, _ in found:
        pieces += [value[at:begin], HIDDEN]
        at = end
    return "".join([*pieces, value[at:]])


def hidden_line(text: str) -> str:
    """Return a line of a log with secrets hidden, cut where it is very long."""
    read = hidden(text[:_LINE], sentence=True)
    return read if len(text) <= _LINE else f"{read}… ({len(text)} characters)"


def hidden_option(name: str, value: str) -> str:
    """Return the value of an option, all of it, with secrets hidden."""
    return HIDDEN if _named_secret(name, value) else hidden(value)


def hidden_options(options: Mapping[str, str]) -> dict[str, str]:
    """Return options with the secrets in them hidden."""
    return dict(_hidden_items(tuple(options.items())))


# Of a hundred thousand volumes most have the same few options.
@lru_cache(maxsize=256)
def _hidden_items(items: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    return tuple((_name(key), hidden_option(key, value)) for key, value in items)


def _name(name: str) -> str:
    """Return the name of an option: what follows a blank in a secret's name is the secret."""
    found = _BLANK.search(name) if _kind(name)[0] else None
    return f"{name[: found.start()]} {HIDDEN}" if found else hidden(name)


def shown(value: object) -> object:
    """Return ``value``, a part of a message, as a log may show it."""
    found = _shown(value, "", 0)
    return found if len(str(found)) <= _ALL else f"… ({len(str(value))} characters)"


def _shown(value: object, name: str, depth: int) -> object:
    if isinstance(value, (Mapping, Sequence)) and not isinstance(value, str):
        if depth == _DEPTH:
            return "…"
        if isinstance(value, Mapping):
            return _entries(value, depth)
        items = list(value[:_ENTRIES])
        # What follows --password in a command line is one.
        names = [name, *(_flag(item) or name for item in items)]
        return [_shown(item, its, depth + 1) for item, its in zip(items, names, strict=False)]
    text = value if isinstance(value, str) else str(value)
    if name and _named_secret(name, text):
        return HIDDEN
    if isinstance(value, int) or value is None:
        return value
    return masked(text)


def _flag(item: object) -> str:
    return item.lstrip("-") if isinstance(item, str) and item.startswith("-") else ""


def _entries(value: Mapping[object, object], depth: int) -> dict[str, object]:
    kept = list(value.items())[:_ENTRIES]
    # {"name": "password", "value": …}
    told = next((str(item) for key, item in kept if str(key).lower() in ("name", "key")), "")
    result = {}
    for key, item in kept:
        name = str(key)[:_READ]
        of = told[:_READ] if name.lower() == "value" and told else name
        result[_cut(_name(name), str(key), _CHARACTERS)] = _shown(item, of, depth + 1)
    if len(value) > _ENTRIES:
        result["…"] = f"{len(value) - _ENTRIES} more"
    return result


def masked(text: str, characters: int = _CHARACTERS, sentence: bool = False) -> str:
    """Return a text with what looks like a secret hidden, cut to so many ``characters``.

    :param sentence: it is one, in which a value ends at a blank.
    """
    if len(text) <= characters and not _SUSPECT.search(text):
        return text
    return _cut(hidden(text[:_READ], sentence), text, characters)


def _cut(read: str, text: str, characters: int) -> str:
    return read if len(read) <= characters and len(text) <= _READ else read[:characters] + "…"


def quoted(text: str, characters: int = _ECHOED) -> str:
    """Return `text` for an error: in double quotes on one line, cut, with secrets hidden."""
    read = hidden(text[:_READ])
    shown = read[:characters].encode("unicode_escape").decode("ascii").replace('"', '\\"')
    if len(read) <= characters and len(text) <= _READ:
        return f'"{shown}"'
    return f'"{shown}…" ({len(text)} characters)'
