"""What one stream copies of another: later, in order, and again later if there is no room for it.

source ── a message is stored ──(a delay)──► transformed, with where it came from ─► target
                                                    └─ refused: tried again after seconds
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable

from squall.chaos.model import headers as known
from squall.chaos.model.clock import Alarms
from squall.chaos.model.configs import SourceConfig, Transform
from squall.chaos.model.errors import Unmodelled
from squall.chaos.model.publishing import room
from squall.chaos.model.streams import Stored, Stream
from squall.chaos.model.subjects import is_literal, matcher

BEGIN_S = (0.1, 0.2)
"""How long the server waits before it begins to copy, once the stream is made or the server started again."""

AGAIN_S = 2.0
"""The shortest time between two beginnings."""

Rename = Callable[[str], str]


class Pace:
    """How long things take, in seconds: at least and at most. The world may change it.

    Attributes:
        delay_s: From a message to its copy.
        begin_s: From a stream that is made, or a server that is started, until it begins to copy. A server
            that finds a stream before the one that it copies of looks again after 12 s.
    """

    __slots__ = ("begin_s", "delay_s")

    def __init__(self) -> None:
        self.delay_s = (0.0002, 0.003)
        self.begin_s = BEGIN_S


class Source:
    """Copies from one stream into another.

    Attributes:
        copied: The last sequence of the source that was looked at.
        seen: The last of those that were to be copied.
    """

    __slots__ = (
        "_alarms",
        "_armed",
        "_begun_s",
        "_chance",
        "_label",
        "_pace",
        "_renames",
        "_target",
        "_written",
        "config",
        "copied",
        "seen",
        "stream",
    )

    def __init__(
        self,
        stream: Stream,
        target: Stream,
        config: SourceConfig,
        *,
        alarms: Alarms,
        chance: random.Random,
        pace: Pace,
    ) -> None:
        self.stream = stream
        self.config = config
        self._target = target
        self._alarms = alarms
        self._chance = chance
        self._pace = pace
        transforms = config.subject_transforms or (Transform(config.filter_subject or ">"),)
        self._renames = [(matcher(each.src or ">"), rename(each.src, each.dest)) for each in transforms]
        froms = "\f".join(each.src or ">" for each in transforms)
        tos = "\f".join(each.dest or ">" for each in transforms)
        self._label = f"{froms} {tos}"
        self.copied = self.seen = 0
        self._written = 0
        self._armed = False
        self._begun_s = float("-inf")
        stream.feeds.append(self)
        target.sources.append(self)
        self._begin()

    def _begin(self) -> None:
        """Begin to copy, but not too soon after the last time."""
        now = self._alarms.time()
        wait_s = max(0.0, self._begun_s + AGAIN_S - now) + self._chance.uniform(*self._pace.begin_s)
        self._begun_s = now + wait_s
        self._armed = True
        self._alarms.after(wait_s, self._copy)

    def wake(self) -> None:
        """There is something more to copy."""
        if not self._armed:
            self._armed = True
            self._alarms.after(self._chance.uniform(*self._pace.delay_s), self._copy)

    def _copy(self) -> None:
        self._armed = False
        stream = self.stream
        self.copied = max(self.copied, stream.first - 1)
        while self.copied < stream.last:
            message = stream.messages.get(self.copied + 1)
            if message is not None and not self._store(message):
                self._begin()
                return
            self.copied += 1

    def _store(self, message: Stored) -> bool:
        """Copy one message; False if there is no room for it."""
        subject = next(
            (name(message.subject) for falls, name in self._renames if falls(message.subject)), None
        )
        if subject is None:
            return True
        seen, self.seen = self.seen, message.seq
        headers = {
            name: value
            for name, value in (message.headers or {}).items()
            if name != known.SOURCE and not name.startswith(("Nats-Expected-", "Nats-Batch-"))
        }
        place = f"{self.stream.name} {message.seq} {self._label} {message.subject} {self.stream.identity}"
        headers[known.SOURCE] = place
        message_id = headers.get(known.MESSAGE_ID)
        target = self._target
        if message_id and target.place_of(message_id):
            return True
        most = target.config.max_msg_size
        header_bytes = known.size(headers)
        too_large = 0 < most < header_bytes + len(message.data)
        if too_large or room(target, subject, header_bytes, message.data) is not None:
            self.seen = seen
            return False
        target.store(subject, headers, header_bytes, message.data)
        return True

    def keep_place(self) -> None:
        """The target writes down how far it has come."""
        self._written = self.copied

    def restart(self) -> None:
        """Go on where a server does that was started again.

        It looks for the newest copy that the target still holds. If there is none, though there was one, it
        goes on with what the source stored after the target's last message: what was on its way is never
        copied.
        """
        target, stream = self._target, self.stream
        self.copied = self.seen = max(self._written, self._newest_copy())
        if not self.copied and target.first > 1 and target.last_stamp_ns:
            later = (m.seq for m in stream.messages.values() if m.stamp_ns >= target.last_stamp_ns)
            self.copied = next(later, stream.last + 1) - 1
        self._begun_s = float("-inf")
        self._begin()

    def _newest_copy(self) -> int:
        for message in reversed(self._target.messages.values()):
            origin = (message.headers or {}).get(known.SOURCE)
            if origin is not None:
                name, seq, *label = origin.split(" ")
                if name == self.stream.name and " ".join(label[:2]) == self._label:
                    return int(seq)
        return 0


def rename(source: str, destination: str) -> Rename:
    """What a transform makes of a subject.

    Raises:
        Unmodelled: It has a function that is not modelled.
    """
    if not destination or destination == ">":
        return str
    if source.endswith(".>") and destination.endswith(".>") and is_literal(source[:-2] + destination[:-2]):
        return lambda subject: destination[:-1] + subject[len(source) - 1 :]
    wildcards = [place for place, token in enumerate(source.split(".")) if token == "*"]
    if ">" in source:
        raise Unmodelled(f"a transform of {source} to {destination}")
    parts = [_part(token, wildcards) for token in destination.split(".")]

    def renamed(subject: str) -> str:
        tokens = subject.split(".")
        return ".".join(part(tokens) for part in parts)

    return renamed


def _part(token: str, wildcards: list[int]) -> Callable[[list[str]], str]:
    """What makes one token of the destination."""
    if "{{" not in token:
        if token in ("*", ">") or token.startswith("$"):
            raise Unmodelled(f"a transform to {token}")
        return lambda _: token
    function = re.fullmatch(r"\{\{(wildcard|partition)\(([0-9, ]+)\)\}\}", token)
    if function is None:
        raise Unmodelled(f"a transform to {token}")
    numbers = [int(number) for number in function[2].split(",")]
    if function[1] == "wildcard":
        place = wildcards[numbers[0] - 1]
        return lambda tokens: tokens[place]
    partitions, places = numbers[0], [wildcards[number - 1] for number in numbers[1:]]
    return lambda tokens: str(_fnv1a("".join(tokens[place] for place in places)) % partitions)


def _fnv1a(text: str) -> int:
    hashed = 0x811C9DC5
    for byte in text.encode():
        hashed = (hashed ^ byte) * 0x01000193 & 0xFFFFFFFF
    return hashed
