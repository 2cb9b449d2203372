"""What logical faults share: a node interferes with its own deliveries, and says so in the history.

Logical, because no network does this to single messages; see `services/node/interference.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Literal

import msgspec

from squall.chaos.inject.faults.fault import Fault, Site
from squall.services import jsonl
from squall.services.node.interference import Interfere
from squall.services.node.service import Order

STOPPED_S = 5.0
"""How long a node may take to say that it has stopped."""

TAIL_BYTES = 4 * 1024**2
"""How far back a node's last word is looked for."""


class _Said(msgspec.Struct):
    node: str
    inc: int
    op: str
    what: str = ""
    on: bool = False
    struck: int = -1


_said = msgspec.json.Decoder(_Said)


class LogicalFault(Fault, frozen=True, kw_only=True):
    def asked(self) -> Interfere:
        """What the node is told to do."""
        raise NotImplementedError

    async def inject(self, site: Site) -> None:
        await site.swarm.launcher.tell(site.unit, Order(interfere=self.asked()))

    async def in_force(self, site: Site) -> bool:
        return await _says(site, self.asked().kind, on=True, within_s=site.struck_s)

    async def undone(self, site: Site) -> str:
        said = _last_word(site)
        if said is not None and (said.what, said.on) == (self.asked().kind, True):
            return ""
        return f"{site.node} had stopped it, or was started anew"

    async def afterwards(self, site: Site, begun: int) -> Literal["struck", "spared", "unknown"]:
        """By the node's own word: how many deliveries it has interfered with, which may be none."""
        deadline = asyncio.get_running_loop().time() + STOPPED_S
        while not _has_ended(words := _words(site, begun)) and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.1)
        kind = self.asked().kind
        if [(said.what, said.on, said.struck) for said in words] == [(kind, False, 0)]:
            return "spared"
        of_one_start = len({said.inc for said in words}) == 1
        has_struck = [(said.what, said.on) for said in words] == [(kind, True), (kind, False)]
        return "struck" if of_one_start and has_struck else "unknown"

    async def heal(self, site: Site) -> None:
        with contextlib.suppress(LookupError):  # a node that has ended interferes no more
            await site.swarm.launcher.tell(site.unit, Order(interfere=Interfere(kind="none")))

    async def healed(self, site: Site) -> bool:
        return await _says(site, self.asked().kind, on=False, within_s=STOPPED_S)


async def _says(site: Site, kind: str, *, on: bool, within_s: float) -> bool:
    """Whether the node's last word of interference comes to be this."""
    deadline = asyncio.get_running_loop().time() + within_s
    while asyncio.get_running_loop().time() < deadline:
        said = _last_word(site)
        if said is not None and (said.what, said.on) == (kind, on):
            return True
        await asyncio.sleep(0.1)
    return False


def _has_ended(words: list[_Said]) -> bool:
    return bool(words) and not words[-1].on


def _words(site: Site, begun: int) -> list[_Said]:
    """What the node has said of interference since the history had so many bytes."""
    with site.swarm.history.open("rb") as lines:
        lines.seek(begun)
        since = lines.read().splitlines()
    told = []
    for line in since:
        if b'"node":"%b"' % site.node.encode() in line and b'"interfere"' in line:
            with contextlib.suppress(msgspec.DecodeError):  # it is being written
                told.append(jsonl.decode(_said, line))
    return [said for said in told if (said.node, said.op) == (site.node, "interfere")]


def _last_word(site: Site) -> _Said | None:
    """What the node said last; that it ended is its last word if it was started anew since."""
    with site.swarm.history.open("rb") as lines:
        size = lines.seek(0, 2)
        lines.seek(max(0, size - TAIL_BYTES))
        tail = lines.read().splitlines()
    newest = None
    mine = b'"node":"%b"' % site.node.encode()
    for line in reversed(tail):
        if mine not in line or (newest is not None and b'"interfere"' not in line):
            continue
        with contextlib.suppress(msgspec.DecodeError):  # cut in two at the tail's beginning
            said = jsonl.decode(_said, line)
            newest = newest or said.inc
            if said.op == "interfere":
                return said if said.inc == newest else _Said(said.node, newest, said.op, said.what, on=False)
    return None
