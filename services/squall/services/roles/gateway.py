"""Gateway: carries the effects of winning registers to their sink, and holds nothing it could lose.

    registers ──pull──► batch ──► sink: the venue, or what a spec names in its place
        ▲                           │ answer
        └─────────── ack ◄──────────┘

An acknowledgement follows the sink's answer on each effect, so whatever dies in
between, the record is delivered again and the sink refuses the repeat. What it
is sent, and what happens to what it does not take, is `services/effects`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from msgspec.structs import replace

from squall.bus.border import printable
from squall.bus.codec import decode
from squall.bus.errors import DecodeError, RequestError
from squall.bus.messages import TaskResult
from squall.bus.pull import Delivery, Puller
from squall.bus.subjects import GATEWAY, last_token
from squall.bus.tasks import task_group
from squall.services.effects.kinds import is_outside, load
from squall.services.effects.port import Make, Register, Ties, Way
from squall.services.handlers import effect_id
from squall.services.node.service import Service
from squall.services.rules.consecutive import Consecutive
from squall.services.rules.effects import BATCH_MAX

log = logging.getLogger("squall")

POINTS: Final = {
    "gateway.delivered": "registers were delivered, nothing was sent to the venue",
    "gateway.filled": "the venue has answered, nothing is acknowledged",
    "gateway.acknowledged": "the registers are acknowledged",
}
"""Where a fault can strike it, and what has happened there."""

HELD_EACH = 64
"""Registers that are held for each effect that may be on its way to somebody else's sink. Higher lets more
pass a sink that answers slowly before tasks are admitted no more; lower waits for it sooner."""

HELD_MAX = 16_384
WAITING_BYTES_MAX = 64 * 1024**2
"""Registers that are held, and bytes of those that wait. Higher lets more pass a flood of registers with many
effects; lower takes less memory."""

SEVERAL_MAX = 64
"""Effects of registers with several that are sent with those that have one. Higher carries such registers
sooner; lower lets a flood of them delay the others less. One register is always sent, however many it has."""

STOP_S = 5.0

MISSING_S = 0.25
"""How long what came waits for what was sent before it; see `rules/consecutive.py`."""


Admit = Callable[[int, TaskResult], bool]
"""Whether a register may be sent just now, by its place in the stream and what it says; asked of all that
wait, in their order."""


Instead = Callable[[str], Sequence[tuple[str, bytes]]]
"""Ids and bodies of effects, by the name of a task."""


def singles_first() -> Admit:
    """Registers of one effect, and a few of those that have several: nobody waits for a heap of these."""
    several = 0

    def admit(sequence: int, result: TaskResult) -> bool:
        nonlocal several
        if len(result.effects) <= 1:
            return True
        if several >= SEVERAL_MAX:
            return False
        several += len(result.effects)
        return True

    return admit


async def serve(service: Service) -> None:
    """Forward until asked to stop."""
    await carry(service, singles_first, asyncio.Event())


async def carry(
    service: Service,
    sieve: Callable[[], Admit],
    wake: asyncio.Event,
    keeps_back: Callable[[], bool] = lambda: False,
    *,
    refuses: Callable[[TaskResult], str] = lambda result: "",
    in_order: bool = False,
    instead: Instead = lambda task: (),
) -> None:
    """Forward what a sieve admits, until asked to stop.

    Args:
        sieve: Made anew each time it is looked through what waits. What it keeps back waits on.
        wake: Set when it may be that something that was kept back is not any more.
        keeps_back: Whether it may keep anything back just now. Then what the sink gave no answer on goes
            through it once more before it is repeated.
        refuses: Why no effect of a register that is admitted may ever be sent; empty if they may.
        in_order: None is carried out before those that the sieve has admitted before it.
        instead: The ids and bodies of what is sent of a task that is dead.
    """
    token = service.start.venue_token
    way = Way(
        node=service.node,
        door=lambda: service.around.door(service.start.venue, token.value if token is not None else ""),
    )
    opener = load(service.spec.sending, service.start.origin)
    async with opener(way) as make, task_group() as tasks:
        gateway = _Gateway(service, make, sieve, wake, keeps_back, refuses, in_order, instead)
        service.vitals = lambda: {"in_flight": len(gateway.held), "slots": gateway.held_max}
        pulling = tasks.daemon(gateway.puller.run())
        daemons = [
            tasks.daemon(work) for work in (gateway.keep_alive(), gateway.forward(), gateway.carrier.run())
        ]
        service.ready()
        await service.stop.wait()
        pulling.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_S):
                while gateway.held:
                    await asyncio.sleep(0.01)
        for daemon in daemons:
            daemon.cancel()


class _Gateway:
    """What it holds, and the loops that let go of it.

    Attributes:
        held: By its place in the stream, where the acknowledgement of a register goes.
        held_max: How many that may be; then it is behind, and says so.
    """

    def __init__(
        self,
        service: Service,
        make: Make,
        sieve: Callable[[], Admit],
        wake: asyncio.Event,
        keeps_back: Callable[[], bool],
        refuses: Callable[[TaskResult], str],
        in_order: bool,
        instead: Instead,
    ) -> None:
        self._service = service
        self._refuses = refuses
        self._instead = instead
        self._sieve = sieve
        self._wake = wake
        self._keeps_back = keeps_back
        self._waiting: deque[tuple[Delivery, TaskResult | None]] = deque()
        self._waiting_bytes = 0
        self._begun: dict[int, tuple[Delivery, TaskResult | None]] = {}
        self._came = Consecutive(MISSING_S)
        self.held: dict[int, str] = {}
        spec = service.spec
        self.held_max = HELD_EACH * spec.effects_together if is_outside(spec.effects) else HELD_MAX
        self.carrier = make(
            Ties(
                record=service.history,
                counters=service.counters,
                settled=self._acknowledge,
                keeps_back=keeps_back,
                in_order=in_order,
            )
        )
        self.puller = Puller(
            service.connection,
            service.swarm.stream("RES"),
            GATEWAY,
            self._take,
            # Where all wait for one that comes again, there must be room for it; the broker bounds how many.
            lambda: max(self._room(), int(in_order)),
            chunk=BATCH_MAX // 2,
        )

    def _room(self) -> int:
        return self.held_max - len(self.held) if self._waiting_bytes < WAITING_BYTES_MAX else 0

    def _take(self, delivery: Delivery) -> None:
        self._came.came(delivery.order, asyncio.get_running_loop().time())
        # What comes again while it is still held is not sent twice; only its acknowledgement goes elsewhere.
        if delivery.sequence not in self.held:
            self._await(delivery, self._read(delivery))
            self._wake.set()
        self.held[delivery.sequence] = delivery.reply

    def _await(self, delivery: Delivery, result: TaskResult | None) -> None:
        self._waiting.append((delivery, result))
        self._waiting_bytes += len(delivery.data)

    def _give_back(self, registers: Iterable[Register]) -> None:
        """Have what the sink gave no answer on wait again, where it stood."""
        for register in registers:
            if register.open and (begun := self._begun.pop(register.sequence, None)):
                self._await(*begun)

    async def forward(self) -> None:
        """Hand registers to the carrier, a batch at a time, and acknowledge what it has settled."""
        at = self._service.at
        while True:
            registers = []
            for delivery, result in await self._batch():
                self._begun[delivery.sequence] = delivery, result
                task = last_token(delivery.subject)
                registers.append((Register(task, delivery.sequence), self._intended(task, result)))
            await at("gateway.delivered")
            if not await self.carrier.deliver(registers):
                self._give_back(register for register, _ in registers)
            await at("gateway.filled")
            for register, _ in registers:
                if not register.open:
                    await self._acknowledge(register)
            await at("gateway.acknowledged")

    async def _batch(self) -> list[tuple[Delivery, TaskResult | None]]:
        """What may be sent of what waits, in the order of the stream; waits until there is something."""
        while True:
            self._wake.clear()
            if missing_s := self._came.wait_s(asyncio.get_running_loop().time()):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(missing_s):
                        await self._wake.wait()
                continue
            if self._keeps_back():
                self._give_back(self.carrier.recall())
            admits = self._sieve()
            # What was lost with a link comes again after what came later.
            self._waiting = deque(sorted(self._waiting, key=lambda waits: waits[0].sequence))
            batch: list[tuple[Delivery, TaskResult | None]] = []
            kept: list[tuple[Delivery, TaskResult | None]] = []
            while self._waiting and len(batch) < BATCH_MAX:
                delivery, result = self._waiting.popleft()
                admitted = result is None or admits(delivery.sequence, result)
                (batch if admitted else kept).append((delivery, result))
            self._waiting.extendleft(reversed(kept))
            if batch:
                self._waiting_bytes -= sum(len(delivery.data) for delivery, _ in batch)
                return batch
            await self._wake.wait()

    def _read(self, delivery: Delivery) -> TaskResult | None:
        """The register; None if it cannot be read, and so intends nothing."""
        try:
            # Whose register it is, its subject says.
            return replace(decode(delivery.data, TaskResult), task=last_token(delivery.subject))
        except DecodeError as error:
            reason = printable(str(error))
            task = last_token(delivery.subject)
            log.warning("register %s ignored: %s", printable(delivery.subject), reason)
            self._service.counters["unreadable"] += 1
            self._service.history(
                "deliver", "fail", task=task, reason=f"its register is unreadable: {reason}"
            )
            return None

    def _intended(self, task: str, result: TaskResult | None) -> Sequence[tuple[str, bytes]]:
        """The ids and bodies of what is to be sent of a register."""
        if result is None or result.status != "ok":
            return self._instead(task) if result is not None and result.status == "dead" else []
        orders = orders_of(task, result)
        reason = self._refuses(result) if orders else ""
        for order_id, _ in orders if reason else ():
            facts = {"what": "unapproved", "task": task, "order_id": order_id, "reason": reason}
            self._service.counters["refused"] += 1
            self._service.history("refuse", "fail", **facts)
        return [] if reason else orders

    async def _acknowledge(self, register: Register) -> None:
        reply = self.held.pop(register.sequence, None)
        self._begun.pop(register.sequence, None)
        if reply is None:
            return
        with contextlib.suppress(RequestError):  # lost: it comes again, and the sink knows it
            await self._service.connection.publish(reply, b"+ACK", confirm=False)
        self.puller.wake()

    async def keep_alive(self) -> None:
        """Tell the broker three times an ack wait that what is held is worked on."""
        while True:
            await asyncio.sleep(self._service.spec.ack_wait_s / 3)
            with contextlib.suppress(RequestError):
                for number, reply in enumerate(list(self.held.values()), start=1):
                    await self._service.connection.publish(reply, b"+WPI", confirm=False)
                    if number % BATCH_MAX == 0:
                        await asyncio.sleep(0)  # to nobody's delay, however many are held


def orders_of(task: str, result: TaskResult) -> list[tuple[str, bytes]]:
    """The ids and bodies of what the register of a task intends."""
    return [(effect_id(task, index), body) for index, body in enumerate(result.effects)]
