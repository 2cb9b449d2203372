"""Watches the agents' conduct by the broker's word, and has those put out that keep the others from working.

    broker ──statistics, once a second──► rules.conduct ──suspicion──► put out
           ──pulls and answers, while there is trouble──┘

It runs in the command, beside the launcher, and not in the leader. The broker's
statistics, and the right to take an account away, belong to the system account,
whose rights reach every account: no node should hold them, and the command, which
minted all credentials, holds them anyway. The leader sees heartbeats and
registers, which are what agents say of themselves.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Mapping

import msgspec
from nats.aio.msg import Msg

from squall.bus import log as bus_log
from squall.bus.connection import Connection
from squall.bus.errors import RequestError
from squall.bus.identity import ACCOUNT_CONNECTS, Authority
from squall.bus.jetstream import call
from squall.bus.pull import EXPIRES_S
from squall.bus.subjects import POOL, REQUEST_INFO, Subjects, acks, every_ack, next_message
from squall.bus.system import Traffic, statistics
from squall.services.patterns.pattern import Consumer
from squall.services.rules.conduct import Bounds, Conduct, Look, Share, Suspicion
from squall.services.run.spec import Spec

log = logging.getLogger("squall")

WARDEN = "warden"
"""Its node's name."""

LOOK_S = 1.0
RELEASE_PAUSE_S = 0.1

_ANSWER = re.compile(r"\d{1,19}\.(\d{1,19})\.(\d{1,19})\.\d{1,19}\.\d{1,19}")
"""The end of an answer's subject: times delivered, place in the queue, delivery's number, time, pending."""

BATCH_MAX = 4096
"""What one pull counts for at most; the broker refuses more than an agent's slots anyway."""

HEARD_PENDING_MAX = 65536
"""Messages that may wait to be heard; one that is dropped makes all that was heard worthless."""


class _Info(msgspec.Struct):
    acc: str = ""


class _Pull(msgspec.Struct):
    batch: int = 1


_infos = msgspec.json.Decoder(_Info)
_pulls = msgspec.json.Decoder(_Pull)


def bounds(spec: Spec) -> Bounds:
    """What the pool of a swarm allows."""
    return Bounds(
        slots=spec.slots,
        attempts=spec.attempts,
        ack_wait_s=spec.ack_wait_s,
        retry_base_s=spec.retry_base_s,
        retry_cap_s=spec.retry_cap_s,
        expires_s=EXPIRES_S,
    )


class Warden:
    """Watches while `run` runs.

    Args:
        spec: The swarm.
        authority: Says which account is whose.
        system: A connection in the system account.
        core: A connection with the credentials of the node ``warden``.
        pool: The consumer of the work queue that all agents pull from.
        starts: The agents that are in the swarm, and how often each was started.
        put_out: Puts an agent out of the swarm; what it held is given back after that.
    """

    def __init__(
        self,
        spec: Spec,
        authority: Authority,
        system: Connection,
        core: Connection,
        *,
        pool: Consumer,
        starts: Callable[[], Mapping[str, int]],
        put_out: Callable[[Suspicion], Awaitable[None]],
    ) -> None:
        self._spec = spec
        self._swarm = Subjects(spec.swarm)
        self._system = system
        self._core = core
        self._pool = pool
        self._starts = starts
        self._put_out = put_out
        self._conduct = Conduct(bounds(spec))
        self._authority = authority
        self._agents: dict[str, str] = {}  # by account
        self._know_agents()
        self._prefix = acks(self._swarm.stream("WK"), POOL)
        self._stops: list[Callable[[], Awaitable[None]]] = []
        self._deafness = 0

    async def run(self) -> None:
        """Watch, for as long as this is not cancelled.

        Raises:
            Whatever putting an agent out raises.
        """
        await self._system.subscribe(ACCOUNT_CONNECTS, self._on_connect)
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                look = await self._look()
                suspicion = self._conduct.look(look)
                await self._listen(self._conduct.listening)
            except RequestError as error:
                log.info("the agents' conduct is not seen: %s", error)
                continue
            if suspicion is not None:
                await self._put_out(suspicion)
            if suspicion is not None or self._conduct.stuck:
                # Before, because who does it again does so at once.
                self._conduct.forget()
                await self._release_pool()

    async def _release_pool(self) -> None:
        log.warning("the pool is made anew, to have back what was held of it")
        while True:
            try:
                return await self._pool.recreate(self._core)
            except RequestError as error:
                log.info("the pool is not made anew yet: %s", error)
                await asyncio.sleep(RELEASE_PAUSE_S)

    def _know_agents(self) -> Mapping[str, int]:
        """Take in who is in the swarm now, some of whom may have joined since; how often each was started."""
        starts = self._starts()
        self._agents = {self._authority.account(agent): agent for agent in starts}
        return starts

    async def _look(self) -> Look:
        # Registers before what was queued, so that none seems to be ahead of its task.
        registers = await bus_log.state(self._core, self._swarm.stream("RES"))
        pool = await call(self._core, "CONSUMER", "INFO", self._swarm.stream("WK"), POOL)
        queue = await bus_log.state(self._core, self._swarm.stream("WK"))
        server, traffic = await statistics(self._system)
        starts = self._know_agents()
        agents = {}
        for account, agent in self._agents.items():
            counted = traffic.get(account, Traffic())
            agents[agent] = Share(counted.sent, counted.sent_bytes, starts[agent])
        return Look(
            at_s=asyncio.get_running_loop().time(),
            server=f"{server}/{pool['created']}",
            delivered=pool["delivered"]["consumer_seq"],
            held=pool["num_ack_pending"],
            waiting=pool["num_pending"],
            queued=queue["last_seq"],
            finished=queue["last_seq"] - queue["messages"],
            registers=registers["last_seq"],
            agents=agents,
        )

    # Listening.

    async def _listen(self, wanted: bool) -> None:
        deafness = self._core.counters["dropped"] + self._core.counters["reconnects"]
        if deafness != self._deafness:
            self._deafness = deafness
            self._conduct.forget()
        if wanted and not self._stops:
            wk = self._swarm.stream("WK")
            for subject, handler in (
                (every_ack(wk, POOL), self._on_answer),
                (next_message(wk, POOL), self._on_pull),
            ):
                self._stops.append(
                    await self._core.subscribe(subject, handler, pending_max=HEARD_PENDING_MAX)
                )
        elif not wanted and self._stops:
            stops, self._stops = self._stops, []
            for stop in stops:
                await stop()

    def _sender(self, message: Msg) -> str | None:
        """The agent that a message came from, by the broker's word."""
        info = (message.headers or {}).get(REQUEST_INFO)
        if info is None:
            return None
        try:
            return self._agents.get(_infos.decode(info).acc)
        except msgspec.DecodeError:
            return None

    def _on_answer(self, message: Msg) -> None:
        agent = self._sender(message)
        match = _ANSWER.fullmatch(message.subject, len(self._prefix))
        if agent is None or match is None:
            return
        at_s = asyncio.get_running_loop().time()
        self._conduct.answered(agent, int(match[2]), int(match[1]), message.data, at_s)

    def _on_pull(self, message: Msg) -> None:
        agent = self._sender(message)
        if agent is None:
            return
        try:
            batch = _pulls.decode(message.data).batch if message.data else 1
        except msgspec.DecodeError:
            batch = 1  # the broker refuses it, or takes it for a bare number
        self._conduct.pulled(agent, min(batch, BATCH_MAX))

    def _on_connect(self, message: Msg) -> None:
        agent = self._agents.get(message.subject.split(".")[2])
        if agent is not None:
            self._conduct.connected(agent)
