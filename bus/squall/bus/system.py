"""What only the broker's system account may do: change accounts in use, and see who sends how much.

    Authority ──new claims──► Accounts ──CLAIMS.UPDATE──► broker ──► closes what the new claims refuse
                                  └── kept until the broker has said that it has them

The command alone holds these rights. They reach every account, so no node has any of them.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import msgspec

from squall.bus.connection import Connection
from squall.bus.errors import BrokerError, RequestError
from squall.bus.identity import ACCOUNT_STATISTICS, CLAIMS_UPDATE, CONNECTIONS, Authority
from squall.bus.topology.link import Node

PUSH_TIMEOUT_S = 2.0
PUSH_PAUSE_S = 0.05
"""Between two tries of a push: the broker may be on its way back."""

STATISTICS_TIMEOUT_S = 2.0


class Accounts:
    """Has a running broker obey what its authority changes.

    Args:
        authority: Says who may connect; the broker's own configuration comes from it too.
        connection: With the credentials of `identity.SYSTEM`.
    """

    def __init__(self, authority: Authority, connection: Connection) -> None:
        self._authority = authority
        self._connection = connection
        self._owed: dict[str, str] = {}  # account → claims that the broker may not have yet
        self._wake = asyncio.Event()
        self._settled = asyncio.Event()
        self._settled.set()

    def introduce(self) -> None:
        """Have a broker that runs already, for another swarm, know all of this one's accounts."""
        for account, claims in self._authority.claims().items():
            self._owe(account, claims)

    def revoke(self, node: str) -> None:
        """Have the broker refuse all credentials that a node has had so far, and close what uses them."""
        self._owe(self._authority.account(node), self._authority.revoke(node))

    def expel(self, node: str) -> None:
        """As `revoke`, for good."""
        self._owe(self._authority.account(node), self._authority.expel(node))

    def admit(self, node: Node) -> None:
        """Have the broker know a node that joins; once that is settled, its credentials are good.

        Raises:
            InvalidNameError, ExpelledError, ValueError: As `Authority.admit`.
        """
        claims = self._authority.admit(node)
        if claims is not None:
            self._owe(self._authority.account(node.name), claims)

    def dismiss(self, node: str) -> None:
        """Have the broker forget a node that leaves, and close what it has open.

        Raises:
            InvalidNameError, ValueError: As `Authority.dismiss`.
        """
        account = self._authority.account(node)
        claims = self._authority.dismiss(node)
        if claims is not None:
            self._owe(account, claims)

    def _owe(self, account: str, claims: str) -> None:
        self._owed[account] = claims
        self._settled.clear()
        self._wake.set()

    async def settled(self, timeout_s: float) -> bool:
        """Wait until the broker has every change; False if that takes longer, because it is away."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._settled.wait()
        return self._settled.is_set()

    async def run(self) -> None:
        """Push every change until the broker has it.

        A broker that is started anew has the newest claims in its configuration. A change that falls between
        the writing of that and the broker's answer is still owed, and pushed once it answers.

        Raises:
            BrokerError: It does not take claims that this process has signed.
        """
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._owed:
                account, claims = next(iter(self._owed.items()))
                if not await self._push(claims):
                    await asyncio.sleep(PUSH_PAUSE_S)
                elif self._owed.get(account) == claims:
                    del self._owed[account]
            self._settled.set()

    async def _push(self, claims: str) -> bool:
        try:
            answer = await self._connection.request(CLAIMS_UPDATE, claims.encode(), timeout_s=PUSH_TIMEOUT_S)
        except RequestError:
            return False
        error = msgspec.json.decode(answer.data).get("error")
        if error is not None:
            raise BrokerError(f"the broker does not take an account's claims: {error}")
        return True


class Traffic(msgspec.Struct, frozen=True):
    """What one account has sent to the broker and received from it since the broker started."""

    sent: int = 0
    sent_bytes: int = 0
    received: int = 0
    received_bytes: int = 0


async def statistics(connection: Connection) -> tuple[str, dict[str, Traffic]]:
    """The traffic of all accounts by their public keys, and which start of the broker counted it.

    Raises:
        RequestError: The broker did not answer.
    """
    answer = await connection.request(
        ACCOUNT_STATISTICS, b'{"include_unused": true}', timeout_s=STATISTICS_TIMEOUT_S
    )
    decoded: dict[str, Any] = msgspec.json.decode(answer.data)
    # The broker names directions as it sees them; here they are the account's.
    return decoded["server"]["id"], {
        account["acc"]: Traffic(
            sent=account["received"]["msgs"],
            sent_bytes=account["received"]["bytes"],
            received=account["sent"]["msgs"],
            received_bytes=account["sent"]["bytes"],
        )
        for account in decoded["data"]["account_statz"]
    }


async def heard(connection: Connection, name: str) -> int:
    """How many messages the broker has had on the open connections that go by a name.

    Raises:
        RequestError: The broker did not answer.
    """
    answer = await connection.request(CONNECTIONS, b"{}", timeout_s=STATISTICS_TIMEOUT_S)
    decoded: dict[str, Any] = msgspec.json.decode(answer.data)
    there = decoded["data"].get("connections") or ()
    return sum(each["in_msgs"] for each in there if each.get("name") == name)
