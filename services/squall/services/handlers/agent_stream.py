"""What an agent of the Synadia Agent Protocol 0.3 says in answer to a prompt, message by message. Pure.

    {"type": "status", "data": "ack"}            it has begun; sent again while it works
    {"type": "response", "data": "…" | {"text": "…"}}   a part of the answer
    {"type": "query", "data": {"id": …, "reply_subject": …}}   it asks something back
    anything else of this shape                  from a newer protocol, and nothing to us
    headers with an error, then the end          it did not do it
    an empty message                             the end

Parts have no numbers, and a polite stop in the middle ends like a whole answer. So only their whole, read as
one JSON object, can tell; where text is asked for, nothing can.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from squall.bus.ended import Done
from squall.services.handlers import answers
from squall.services.handlers.answers import ANSWER_BYTES_MAX, AnswerError
from squall.services.handlers.mistakes import Mistake
from squall.services.handlers.port import Form
from squall.services.handlers.statuses import refused_by_service

INBOX = "_INBOX."
"""A question is answered there, and nowhere else that an agent might name."""


class Chunk(msgspec.Struct):
    """One message of an answer."""

    type: str
    data: Any = None


class Query(msgspec.Struct):
    """What an agent asks back."""

    reply_subject: str


class AgentStream:
    """An answer as it comes.

    Args:
        task: What was asked for.
        form: See `answers.of_one`.

    Attributes:
        ended: What the attempt came to, once that is said.
    """

    def __init__(self, task: str, form: Form) -> None:
        self._task = task
        self._form: Form = form
        self._text: list[str] = []
        self._size = 0
        self.ended: Done | Mistake | None = None

    def take(self, headers: Mapping[str, str] | None, data: bytes) -> str:
        """Take the next message.

        Returns:
            Where it asks something back; empty if it does not.
        """
        self.ended = refused_by_service(headers, data)
        if self.ended is not None:
            return ""
        if not data:
            self.ended = self._whole()
            return ""
        try:
            chunk = msgspec.json.decode(data, type=Chunk)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self.ended = answers.no_answer(AnswerError(f"is no part of an answer: {answers.shown(data)}"))
            return ""
        if chunk.type == "query":
            return _reply_subject(chunk.data)
        if chunk.type == "response":
            self._add(chunk.data, data)
        return ""

    def fail(self, what: str) -> None:
        """Nothing more is to come; what it did is a verb and the rest of a sentence."""
        self.ended = self.ended or answers.mistake("broke", what)

    def _add(self, part: Any, data: bytes) -> None:
        text = part.get("text") if isinstance(part, dict) else part
        if not isinstance(text, str):
            self.ended = answers.no_answer(AnswerError(f"is a part without text: {answers.shown(data)}"))
            return
        self._size += len(data)
        if self._size > ANSWER_BYTES_MAX:
            self.ended = answers.too_long()
            return
        self._text.append(text)

    def _whole(self) -> Done | Mistake:
        if not self._text:
            return answers.mistake("broke", "ended its answer and had said nothing")
        return answers.of_one("".join(self._text).encode(errors="replace"), self._task, self._form)


def _reply_subject(data: Any) -> str:
    try:
        subject = msgspec.convert(data, Query).reply_subject
    except msgspec.ValidationError:
        return ""
    return subject if subject.startswith(INBOX) else ""
