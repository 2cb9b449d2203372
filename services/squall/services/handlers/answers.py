"""What programs and services are asked, and answer: one JSON object each. Pure.

    asked      {"id": "t-1", "key": "a-sp500", "job": "j", "number": 3, "attempt": 1, "deadline_s": 0.0,
                "body": {…}}                               the body as it is, if it is JSON
                "body_base64": "gqNh…"}                    else in base64
    answered   {"id": "t-1", "effects": [{…}, …], "value": …}      both may be left out
               {"id": "t-1", "value": …, "again": true}            round a closed row of stages once more
               {"id": "t-1", "error": "why", "final": true}        no attempt of this task can succeed
               {"id": "t-1", "error": "why"}                       another attempt may

A program has one line of each. An answer is taken as a whole or not at all: one with a field that no answer
has, or that is cut off, has no effects. ``value`` is kept as the JSON that it is.
"""

from __future__ import annotations

import base64
import difflib
from typing import Any

import msgspec

from squall.bus.border import printable
from squall.bus.ended import Done
from squall.bus.messages import RunTask
from squall.services.handlers import PoisonError, Result
from squall.services.handlers.mistakes import Kind, Mistake
from squall.services.handlers.outcome import RESULT_BYTES_MAX, raised, returned
from squall.services.handlers.port import Form

ANSWER_BYTES_MAX = RESULT_BYTES_MAX + 64 * 1024
"""Of one answer: what a result may have, and room for names and white space."""

FIELDS = ("id", "effects", "value", "again", "error", "final")

SHOWN_LENGTH_MAX = 80


class AnswerError(Exception):
    """This is no answer; the message says why, after the word "it"."""


class Answer(msgspec.Struct, frozen=True):
    """What an answer says.

    Attributes:
        id: The task that it is for; empty if it does not say.
        came_of: What the attempt came to.
    """

    id: str
    came_of: Done | Mistake


def request(task: RunTask, attempt: int) -> bytes:
    """The one line that asks for an attempt, without its end."""
    asked: dict[str, Any] = {
        "id": task.task,
        "key": task.named or task.key,
        "job": task.job,
        "number": task.number,
        "attempt": attempt,
        "deadline_s": task.deadline_s,
    }
    if _is_json(task.body):
        # In JSON an end of a line stands between values only, where a space means the same.
        asked["body"] = msgspec.Raw(task.body.translate(_NO_LINE_ENDS))
    else:
        asked["body_base64"] = base64.b64encode(task.body).decode()
    return msgspec.json.encode(asked)


_NO_LINE_ENDS = bytes.maketrans(b"\r\n", b"  ")


def _is_json(body: bytes) -> bool:
    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def read(text: bytes) -> Answer:
    """An answer that anybody may have written.

    Raises:
        AnswerError: It is none.
    """
    try:
        said = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise AnswerError(f"is not JSON: {shown(text)}") from error
    if not isinstance(said, dict):
        raise AnswerError(f"is no JSON object: {shown(text)}")
    for field in said:
        if field not in FIELDS:
            near = difflib.get_close_matches(field, FIELDS, 1)
            meant = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(FIELDS)}"
            raise AnswerError(f"has the field {printable(field, 60)!r}, which no answer has; {meant}")
    name = said.get("id", "")
    if not isinstance(name, str):
        raise AnswerError(f"has an id that is no text: {shown(text)}")
    return Answer(name, _error(said) if "error" in said else _result(said))


def _error(said: dict[str, Any]) -> Mistake:
    error, final = said["error"], said.get("final", False)
    if not isinstance(error, str) or not isinstance(final, bool):
        raise AnswerError("has an error that is no text, or a final that is neither true nor false")
    if "effects" in said or "value" in said or "again" in said:
        raise AnswerError("has an error, and effects, a value or again too")
    if final:
        return raised(PoisonError(error))
    which = printable(error) or "and does not say which"
    return Mistake(printable(f"the handler answered with the error {which}"), kind="error", said=which)


def _result(said: dict[str, Any]) -> Done | Mistake:
    effects, value, again = said.get("effects", []), said.get("value"), said.get("again", False)
    if not isinstance(effects, list):
        raise AnswerError("has effects that are no list")
    if not isinstance(again, bool):
        raise AnswerError("has again that is neither true nor false")
    if "final" in said:
        raise AnswerError("has final and no error")
    return returned(Result(tuple(effects), b"" if value is None else msgspec.json.encode(value), again))


def of_one(text: bytes, task: str, form: Form) -> Done | Mistake:
    """What an answer means that came where only the answer to this question can come.

    Args:
        task: What was asked for; such an answer need not say so.
        form: ``text`` takes it as it is, for the value of a result without effects.
    """
    if len(text) > ANSWER_BYTES_MAX:
        return too_long()
    if form == "text":
        try:
            return returned(Result((), msgspec.json.encode(text.decode())))
        except UnicodeDecodeError:
            return no_answer(AnswerError(f"is not UTF-8: {shown(text)}"))
    try:
        answer = read(text)
    except AnswerError as error:
        return no_answer(error)
    if answer.id not in ("", task):
        return mistake("broke", of_another(answer.id, task))
    return answer.came_of


def mistake(kind: Kind, what: str, *, final: bool = False, after_s: float = 0.0) -> Mistake:
    """An attempt that failed by the doing of a program or a service.

    Args:
        what: What it did, as a verb and the rest of the sentence.
    """
    said = printable(what)
    return Mistake(f"the handler {said}", final, after_s, kind=kind, said=said)


def no_answer(error: AnswerError) -> Mistake:
    """What it means that something else than an answer came."""
    return mistake("broke", f"answered with what {error}")


def of_another(name: str, task: str) -> str:
    """What is wrong with an answer to another task than was asked, as a verb and the rest of the sentence.

    Args:
        name: The task that it says it is for; empty if it does not say.
    """
    if not name:
        return f"answered without an id, which is to be {task!r}"
    return f"answered task {printable(name, 60)!r} when it had been given {task!r}"


def too_long(bytes_max: int = ANSWER_BYTES_MAX) -> Mistake:
    """What it means that an answer is longer than any may be."""
    return mistake(
        "answered", f"answered with more than {bytes_max:,} bytes, the most there may be", final=True
    )


def late(timeout_s: float) -> Mistake:
    """What it means that no answer came in time."""
    return mistake("late", f"did not answer within {timeout_s:g} s")


def shown(text: bytes) -> str:
    """The beginning of what came, as it may be shown."""
    beginning = text[: 4 * SHOWN_LENGTH_MAX].decode(errors="replace").strip()
    return repr(printable(beginning, SHOWN_LENGTH_MAX))
