"""The errors that an engine gets to see, and the one place that maps them to HTTP.

A driver raises :class:`PluginError` (or a subclass of its own) with a text
that says what was asked, what is wrong and what to do. Everything else that it
raises is a bug: the engine gets a request id, the log gets the traceback.
"""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator, Sequence
from typing import cast

from attrs import frozen
from twisted.internet.defer import CancelledError, FirstError
from twisted.logger import Logger
from twisted.python.failure import Failure
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

_log = Logger()

#: How much of an error's text an engine is answered, in characters.
LONGEST = 4000


class PluginError(Exception):
    """An error whose text is meant for the user of the engine. Answered with HTTP 500.

    Docker honours any status but 200 with ``{"Err": text}``; Podman honours
    nothing else for Create, Mount, Remove and Unmount.
    """

    status = 500


class BadRequest(PluginError):
    """The request itself is wrong: no JSON object, no name, an option that is not known."""

    status = 400


class TooLarge(PluginError):
    """The request's body is larger than the plugin reads."""

    status = 413


class DriverMistake(PluginError):
    """A driver does not keep to its interface. The engine's user and the log get the text."""


def article(name: str) -> str:
    """Return a class's name with its article."""
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


def named(value: object) -> str:
    """Return what a value is, such as ``a str``."""
    return "None" if value is None else article(type(value).__name__)


def mistake(method: Callable[..., object], text: str) -> DriverMistake:
    """Return, and log, the error of a driver's method that does not keep to its interface."""
    owner = type(getattr(method, "__self__", None)).__name__
    found = DriverMistake(f"driver {owner}.{getattr(method, '__name__', method)} {text}")
    _log.failure("a mistake of the driver", Failure(found))
    return found


def wrong_type(method: Callable[..., object], value: object, expected: str) -> DriverMistake:
    """Return, and log, the error of a method that returned something else than it must.

    :param method: a driver's method.
    :param expected: what it must return, with its article.
    """
    return mistake(method, f"returned {named(value)}; {expected} is expected")


def wrong_part(method: Callable[..., object], value: object, part: str) -> DriverMistake:
    """Return, and log, the error of a method that returned something with a wrong part.

    :param part: which, what it is and what is expected.
    """
    return mistake(method, f"returned {named(value)} whose {part}")


def check_done(method: Callable[..., object], value: object) -> None:
    """Go on unless what a method returned, of which nothing is expected, says it did nothing.

    :raises DriverMistake: it is an error, or something that has not run.
    """
    if isinstance(value, (BaseException, Failure)):
        raise mistake(method, f"returned {named(value)}; raise it")
    if isinstance(value, AsyncGenerator):
        what = "a coroutine with yield in it does not run"
    elif isinstance(value, Generator):
        what = "a function with yield in it does not run, unless it has @inlineCallbacks"
    elif isinstance(value, Awaitable):
        what = "await it"
        if isinstance(value, Coroutine):
            value.close()
    else:
        return
    raise mistake(method, f"returned {named(value)}; {what}")


#: What asyncio says when it is awaited where its loop does not turn.
_NO_LOOP = ("no running event loop", "await wasn't used with future", "no current event loop")


#: The errors of a process or a machine that has used something up, and what to do about them.
_SHORT = {
    errno.EMFILE: "raise LimitNOFILE",
    errno.ENFILE: "raise the sysctl fs.file-max",
    errno.ENOMEM: "the machine needs more memory",
}


def short(error: BaseException) -> str:
    """Return what to do if the process or machine has used something up, or an empty string."""
    return _SHORT.get(error.errno or 0, "") if isinstance(error, OSError) else ""


def _grouped(error: Exception) -> list[Exception]:
    """Return the errors in a group of them: asyncio's task groups and gatherResults make such.

    Of any other error, nothing. Groups are found by name: before Python 3.11 they are another
    package's.
    """
    inner: Sequence[BaseException | None] = ()
    if isinstance(error, FirstError):
        inner = [error.subFailure.value]
    elif any(cls.__name__ == "ExceptionGroup" for cls in type(error).__mro__):
        inner = getattr(error, "exceptions", ())
    found = [one for one in inner if isinstance(one, Exception)]
    return [leaf for one in found for leaf in _grouped(one) or [one]]


def _joined(errors: Sequence[PluginError]) -> PluginError:
    """Return one error with the texts of several, and their status if they have the same."""
    texts = dict.fromkeys(str(error) or type(error).__name__ for error in errors)
    joined = PluginError("; ".join(texts))
    joined.status = errors[0].status if len({error.status for error in errors}) == 1 else 500
    return joined


def explained(error: Exception) -> Exception:
    """Return the error to report for a driver's: one that says what to do, where that is known."""
    if errors := [explained(one) for one in _grouped(error)]:
        told = [one for one in errors if isinstance(one, PluginError)]
        return _joined(told) if len(told) == len(errors) else error
    if advice := short(error):
        reason = os.strerror(cast(OSError, error).errno or 0)
        return PluginError(f"{reason[:1].lower()}{reason[1:]}: {advice}")
    if isinstance(error, RuntimeError) and any(text in str(error) for text in _NO_LOOP):
        return DriverMistake(
            "the driver awaits something of asyncio's, and its loop does not turn: use "
            "Twisted's asyncio reactor, with run(asyncio=True) or twistd --reactor=asyncio"
        )
    return error


def ended(failure: Failure) -> DriverMistake:
    """Return, and log, the error of a driver that raised what ends a program or a task.

    One volume that cannot be made does not end the plugin, so ``sys.exit()`` is answered like
    any other mistake. A Ctrl-C is not among them: it comes to the reactor, never to a driver.
    """
    name = type(failure.value).__name__
    found = DriverMistake(
        f"the driver raised {name}, which ends neither a call nor the plugin: raise a PluginError "
        "to refuse a call"
    )
    _log.failure("a mistake of the driver: {mistake}", failure, mistake=str(found))
    return found


@frozen
class Refusal:
    """What an engine is told instead of an answer: an HTTP status and the text of ``Err``."""

    status: int
    text: str


def bounded(text: str) -> str:
    """Return the text of an error, cut in the middle where it is longer than :data:`LONGEST`."""
    if len(text) <= LONGEST:
        return text
    tail = LONGEST // 4
    return f"{text[: LONGEST - tail]} … ({len(text)} characters) … {text[-tail:]}"


def refusal(failure: Failure, request_id: str, asked: str) -> Refusal:
    """Turn any failure into what the engine is told.

    :param request_id: names the request in the log and, for a bug, in the answer.
    :param asked: the method and path of the request, for the text.
    """
    error = failure.value
    if isinstance(error, CancelledError) or not isinstance(error, Exception):
        # Nothing here cancels the work of a client that waits for it.
        error = ended(failure)
    error = explained(error)
    if isinstance(error, PluginError):
        # A subclass may say any; with one of success, Podman would see no error.
        status = error.status if error.status in range(400, 600) else 500
        return Refusal(status, bounded(str(error)) or type(error).__name__)
    if isinstance(error, NotFound):
        return Refusal(404, f"{asked}: this plugin has no such call")
    if isinstance(error, MethodNotAllowed):
        return Refusal(405, f"{asked}: plugin calls are made with POST")
    if isinstance(error, HTTPException) and error.code is not None:
        return Refusal(error.code, f"{asked}: {error.name}")
    _log.failure(
        "{asked}: unexpected error, request {request}", failure, asked=asked, request=request_id
    )
    text = f"{asked}: internal error; the plugin's log has it as request {request_id}"
    if told := [one for one in map(explained, _grouped(error)) if isinstance(one, PluginError)]:
        text = f"{bounded(str(_joined(told)))}; {text}"
    return Refusal(500, text)
