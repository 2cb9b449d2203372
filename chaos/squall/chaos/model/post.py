"""Who hears what: subscriptions by account, and the broker's own messages to whoever listens.

Account CORE has the empty name; isolated nodes have one each. In CORE the reply subject of what came out of
such an account stands for one in there:

    agent-1 asks, reply ``_INBOX.agent-1.x`` ──► in CORE the reply is ``_R_.agent-1._INBOX.agent-1.x``
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from squall.chaos.model.frames import Headers, Msg
from squall.chaos.model.subjects import SubjectIndex

if TYPE_CHECKING:
    from squall.chaos.model.sessions import Subscription

OUTSIDE = "_R_."
"""What a reply subject begins with that stands for one in another account."""


def outside(account: str, reply: str) -> str:
    """The name in CORE of a reply subject of another account."""
    return f"{OUTSIDE}{account}.{reply}" if reply else ""


class Post:
    """The subscriptions of all accounts.

    Attributes:
        sent: Messages that were handed to clients.
    """

    __slots__ = ("_accounts", "core", "sent")

    def __init__(self) -> None:
        self.core: SubjectIndex[Subscription] = SubjectIndex()
        self._accounts: dict[str, SubjectIndex[Subscription]] = {"": self.core}
        self.sent = 0

    def account(self, name: str) -> SubjectIndex[Subscription]:
        """The subscriptions of an account."""
        found = self._accounts.get(name)
        if found is None:
            found = self._accounts[name] = SubjectIndex()
        return found

    def ears(self, subject: str) -> Sequence[Subscription]:
        """Who listens in CORE to a subject, or for CORE to a reply subject of another account."""
        if subject.startswith(OUTSIDE):
            account, _, inner = subject[len(OUTSIDE) :].partition(".")
            return self._accounts[account].find(inner)
        return self.core.find(subject)

    def hand(
        self, ears: Sequence[Subscription], subject: str, reply: str, headers: Headers, data: bytes
    ) -> None:
        """Let those hear a message."""
        self.sent += len(ears)
        for ear in ears:
            ear.deliver(Msg(ear.sid, subject, reply, headers, data))

    def send(self, subject: str, data: bytes, headers: Headers = None) -> None:
        """Answer on a reply subject."""
        ears = self.ears(subject)
        if ears:
            if subject.startswith(OUTSIDE):
                subject = subject[len(OUTSIDE) :].partition(".")[2]
            self.hand(ears, subject, "", headers, data)

    def status(self, subject: str, code: str, description: str, **more: str) -> None:
        """Answer with a status, and with further headers, whose names have underscores for hyphens."""
        headers = {"Status": code, "Description": description}
        headers.update((name.replace("_", "-"), value) for name, value in more.items())
        self.send(subject, b"", headers)
