"""A real swarm at work, one of whose agents has been hijacked, and an operator who sees all of it.

The swarm runs on a thread of its own, so that the tests can be plain functions and share it. The operator's
credentials are signed by account CORE itself and so may look at everything; no node has any like them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import secrets
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import nkeys
from nats.aio.client import Client, RawCredentials
from nats.aio.msg import Msg
from tests.settle import settle

from squall.bus.identity import Authority
from squall.bus.keys import Key
from squall.chaos.judge.oracle import ledger
from squall.services.node.history import History
from squall.services.patterns import hierarchical
from squall.services.patterns.hierarchical import HierarchicalSpec
from squall.services.run.directory import RunDirectory, claim
from squall.services.run.nodes import straight
from squall.services.run.running import running
from squall.services.run.swarm import Swarm
from squall.services.trading.orders import Row

T = TypeVar("T")

ROOT = Path(__file__).parents[3]
RATE_PER_S = 60.0
START_S = 60.0
ANSWER_S = 60.0
LOOK_S = 0.05

AFTERWARDS = 20
"""Tasks accepted after an attack that must be filled for the swarm to have gone on."""

GOES_ON_S = 30.0
"""Patience of a machine that others use as well; a swarm that was stopped stays stopped."""

SHARE = 0.9
RECOVERY_S = 5.0
"""By when, after an attack's end, the rest must be back at this share of its rate."""

WINDOW_S = 2.0

HONEST = re.compile(r"a\d{4}-[a-z0-9]+-\d+-0\Z")
"""The order ids of the producer's tasks."""

JOBS = {"arbitrage", "mean-reversion", "momentum", "pairs"}
"""The producer's jobs."""

OWN = "own-"
"""What an attacker's own tasks are named with: what their registers say is their own affair."""


@dataclass(frozen=True)
class World:
    """What no attack may change.

    Attributes:
        streams: Configuration by stream.
        consumers: Configuration of the durable consumers.
        term: Sequence of the newest term.
        commands: How many commands were heard.
        registers: How many there were.
        starts: How often each node was started.
        ingress: How many tasks the producer had accepted.
    """

    streams: dict[str, Any]
    consumers: dict[str, Any]
    term: int
    commands: int
    registers: int
    starts: dict[str, int]
    ingress: int


class Arena:
    """Made by `fighting`."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.folder = folder
        self.orders = folder / "orders"
        self.spec = HierarchicalSpec(
            **{
                "agents": 3,
                "tasks": 1_000_000,
                "rate_per_s": RATE_PER_S,
                "ack_wait_s": 2.0,
                "retry_base_s": 0.05,
                "retry_cap_s": 0.2,
                "pause_leader": False,
                "handler": f"{self._handler()}:decide",
                **changes,
            }
        )
        self.spoiled: set[str] = set()
        self.commands: list[str] = []
        self.run_directory: RunDirectory
        self.swarm: Swarm
        self.authority: Authority
        self.operator = Client()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._stop = asyncio.Event()
        self._failure: BaseException | None = None
        self._numbers = iter(range(1, 1_000_000))
        self._accepted: list[str] = []
        self._read = 0
        self._thread = threading.Thread(target=self._live, name="arena")

    def _handler(self) -> Path:
        """A handler in a file of its own: all it knows is where that is."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "hijacked_handler.py"
        path.write_text(
            "import sys\nfrom pathlib import Path\n"
            f"sys.path.insert(0, {str(ROOT)!r})\n"
            "from tests.scenarios.attacks.hijack import handler\n"
            "decide = handler(Path(__file__).parent / 'orders')\n"
        )
        return path

    # Its life.

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(START_S + 10), "the swarm did not start"
        self._raise()

    def end(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(30)

    @property
    def alive(self) -> bool:
        return self._failure is None and self._thread.is_alive()

    def _raise(self) -> None:
        if self._failure is not None:
            raise AssertionError(f"the swarm has ended: {self._failure!r}") from self._failure

    def _live(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._fight())
        except BaseException as error:
            self._failure = error
        finally:
            self._ready.set()
            self._loop.close()

    async def _fight(self) -> None:
        create = Authority.create
        made: list[Authority] = []

        def created(*given: Any, **named: Any) -> Authority:
            made.append(create(*given, **named))
            return made[-1]

        with (
            claim(self.spec, self.folder / "run") as self.run_directory,
            History(self.run_directory.history, "squall", 1) as history,
        ):
            with _replaced(Authority, "create", created):
                swarm = running(
                    self.spec,
                    self.run_directory,
                    url=None,
                    route=straight,
                    preload="",
                    progress=lambda text: None,
                    history=history,
                )
                async with asyncio.timeout(START_S), contextlib.AsyncExitStack() as stack:
                    self.swarm = await stack.enter_async_context(swarm)
                    leaving = stack.pop_all()
            async with leaving:
                (self.authority,) = made
                await self._connect()
                await self.swarm.start_producer()
                self._ready.set()
                await self._stop.wait()
                await self.operator.close()
                await self.swarm.stop(grace_s=0)

    async def _connect(self) -> None:
        user = Key(nkeys.PREFIX_BYTE_USER)
        facts = {"type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1}
        jwt = self.authority._core.claim(user, "operator", facts, issued_s=int(time.time()))
        text = (
            f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{user.seed}\n------END USER NKEY SEED------\n"
        )
        await self.operator.connect(
            self.swarm.own_broker.url,
            user_credentials=RawCredentials(text),
            inbox_prefix=f"_INBOX.operator.{secrets.token_hex(8)}",
        )

        async def note(message: Msg) -> None:
            self.commands.append(message.subject)

        await self.operator.subscribe("sw.squall.cmd.>", cb=note)
        await settle(self.operator)

    def run(self, work: Coroutine[Any, Any, T], timeout_s: float = 30.0) -> T:
        """Have something done on the swarm's loop."""
        self._raise()
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout_s)

    # Attacking.

    def hijacked(self) -> str:
        """An agent that is still there to be told what to do."""
        deadline = time.monotonic() + GOES_ON_S
        while time.monotonic() < deadline:
            self._raise()
            for listening in sorted(self.orders.glob("*/listening")):
                unit = self.swarm.units.get(listening.parent.name)
                if unit is not None and unit.id == listening.read_text():
                    return listening.parent.name
            time.sleep(LOOK_S)
        raise AssertionError("no agent is left that was hijacked")

    def begin(self, function: Callable[..., Any], *, by: str = "", **given: Any) -> Path:
        """Have a hijacked agent begin an attack; where its answer will be."""
        folder = self.orders / (by or self.hijacked())
        order = folder / f"{next(self._numbers):06d}.order"
        told = {"file": function.__code__.co_filename, "function": function.__name__, "given": given}
        beside = order.with_suffix(".new")
        beside.write_bytes(msgspec.msgpack.encode(told))
        beside.rename(order)
        return order.with_suffix(".answer")

    def answer(self, path: Path, timeout_s: float = ANSWER_S) -> Any:
        """What an attack returned.

        Raises:
            TimeoutError: Nothing; the agent may be gone.
        """
        deadline = time.monotonic() + timeout_s
        while not path.exists():
            self._raise()
            if time.monotonic() > deadline:
                raise TimeoutError(f"no answer to {path.name}")
            time.sleep(0.01)
        said = msgspec.msgpack.decode(path.read_bytes())
        if "raised" in said:
            raise AssertionError(f"the attack failed by itself:\n{said['raised']}")
        return said["returned"]

    def attack(self, function: Callable[..., Any], *, by: str = "", **given: Any) -> Any:
        """Have a hijacked agent carry out an attack, and return what came of it."""
        return self.answer(self.begin(function, by=by, **given))

    def agents(self) -> list[str]:
        """The agents that have not been put out."""
        return [node for node in self.swarm.units if node.startswith("agent-")]

    def gone(self, agent: str) -> bool:
        """Whether the process of an agent has ended, or another has taken its place."""
        unit = self.swarm.units.get(agent)
        return unit is None or unit.id != (self.orders / agent / "listening").read_text()

    def over(self, path: Path, agent: str, seconds: float) -> Any:
        """Wait until an attack has ended, or the agent that carries it out; what it returned, if it did."""
        self.wait(lambda: path.exists() or self.gone(agent), f"end of {path.name}", seconds + GOES_ON_S)
        return self.answer(path) if path.exists() else None

    # Looking.

    async def api(self, subject: str, request: Any = None) -> Any:
        data = json.dumps(request).encode() if request is not None else b""
        answer = await self.operator.request(f"$JS.API.{subject}", data, timeout=10)
        said = json.loads(answer.data)
        assert "error" not in said, f"{subject}: {said['error']}"
        return said

    async def _subjects(self, stream: str, pattern: str) -> dict[str, int]:
        info = await self.api(f"STREAM.INFO.{stream}", {"subjects_filter": pattern})
        found: dict[str, int] = info["state"].get("subjects") or {}
        return found

    def subjects(self, plane: str, pattern: str = ">") -> dict[str, int]:
        """The subjects of a stream, with how many messages each has."""
        return self.run(self._subjects(f"SQUALL_{plane}", pattern))

    def stream(self, plane: str) -> dict[str, Any]:
        """The state of a stream."""
        state: dict[str, Any] = self.run(self.api(f"STREAM.INFO.SQUALL_{plane}"))["state"]
        return state

    def progress(self) -> Any:
        """The coordinator's newest snapshot."""
        return self.run(hierarchical._state(self.swarm))

    def starts(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for line in (self.run_directory.path / "nodes.jsonl").read_text().splitlines():
            node = json.loads(line)["node"]
            counts[node] = counts.get(node, 0) + 1
        return counts

    def accepted(self) -> list[str]:
        """The producer's tasks that the broker has stored, in that order."""
        with self.run_directory.history.open("rb") as lines:
            lines.seek(self._read)
            for line in lines:
                if not line.endswith(b"\n"):
                    break
                self._read += len(line)
                if b'"op":"submit","type":"ok"' in line:
                    self._accepted.append(json.loads(line)["task"])
        return self._accepted

    def fills(self) -> list[Row]:
        return self._rows("SELECT order_id, account, symbol, n, side, quantity, price FROM fills")

    def _filled(self) -> int:
        rows: list[Any] = self._rows("SELECT count(*) FROM fills WHERE order_id LIKE 'a%'")
        return int(rows[0][0])

    def _rows(self, query: str) -> list[Any]:
        database = sqlite3.connect(f"file:{self.run_directory.venue}?mode=ro", uri=True, timeout=10)
        try:
            return list(database.execute(query))
        finally:
            database.close()

    async def _world(self) -> World:
        streams = {}
        for info in (await self.api("STREAM.LIST"))["streams"]:
            streams[info["config"]["name"]] = info["config"]
        consumers = {}
        for stream, name in (("SQUALL_WK", "pool"), ("SQUALL_RES", "gateway")):
            consumers[name] = (await self.api(f"CONSUMER.INFO.{stream}.{name}"))["config"]
        leader = await self.swarm.leader()
        term = leader[1] if leader else 0
        registers = (await self.api("STREAM.INFO.SQUALL_RES"))["state"]["messages"]
        accepted = len(self.accepted())
        return World(streams, consumers, term, len(self.commands), registers, self.starts(), accepted)

    def world(self) -> World:
        return self.run(self._world())

    # Judging.

    def wait(self, look: Callable[[], T], what: str, timeout_s: float = GOES_ON_S) -> T:
        """Look until there is something."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            self._raise()
            with contextlib.suppress(sqlite3.OperationalError):
                seen = look()
                if seen:
                    return seen
            time.sleep(LOOK_S)
        raise AssertionError(f"no {what} within {timeout_s:g} s: {self.says()}")

    def says(self) -> str:
        """What the nodes' logs say last, for the message of a failure."""
        last = []
        for path in sorted(self.run_directory.logs.glob("*.log")):
            lines = [line for line in path.read_text(errors="replace").splitlines() if "INFO" not in line]
            if lines and path.name != "broker.log":
                last.append(f"{path.stem}: {lines[-1][:200]}")
        return f"starts {self.starts()}; " + "; ".join(last)

    def goes_on(self) -> None:
        """Tasks that are accepted from now on are filled."""
        begin = len(self.accepted())
        self.wait(lambda: len(self.accepted()) >= begin + AFTERWARDS, "task accepted after the attack")
        wanted = {f"{task}-0" for task in self.accepted()[begin : begin + AFTERWARDS]}
        marks = ",".join("?" * len(wanted))

        def all_filled() -> bool:
            database = sqlite3.connect(f"file:{self.run_directory.venue}?mode=ro", uri=True, timeout=10)
            try:
                query = f"SELECT count(*) FROM fills WHERE order_id IN ({marks})"
                (count,) = database.execute(query, sorted(wanted)).fetchone()
            finally:
                database.close()
            return int(count) == len(wanted)

        self.wait(all_filled, "fill of a task accepted after the attack")

    def read_through(self) -> None:
        """All registers of now have been read by the coordinator and carried out by the gateway."""
        last = self.stream("RES")["last_seq"]

        def passed() -> bool:
            floor = self.run(self.api("CONSUMER.INFO.SQUALL_RES.gateway"))["ack_floor"]["stream_seq"]
            return bool(floor >= last and self.progress().results >= last)

        self.wait(passed, "end of reading the registers")

    def recovers(self, within_s: float = RECOVERY_S) -> float:
        """At its rate within that time; how many seconds after this was called that was."""
        begin = time.monotonic()
        looks = [(begin, self._filled())]

        def at_rate() -> bool:
            now = time.monotonic()
            looks.append((now, self._filled()))
            while now - looks[0][0] > WINDOW_S + 2 * LOOK_S:
                looks.pop(0)
            span = now - looks[0][0]
            return span >= WINDOW_S and looks[-1][1] - looks[0][1] >= SHARE * self.spec.rate_per_s * span

        self.wait(at_rate, f"{SHARE:.0%} of the rate", within_s + WINDOW_S)
        return max(0.0, time.monotonic() - begin - WINDOW_S)

    def unharmed(self, before: World, *, may_end: str = "", effects: tuple[str, ...] = ()) -> None:
        """Nothing has changed but what the attacker may write of its own.

        Args:
            may_end: A node that may have ended meanwhile: the attacker's.
            effects: Order ids that are nobody's task's and may be filled nevertheless.
        """
        now = self.world()
        assert now.streams == before.streams
        assert now.consumers == before.consumers
        assert now.term == before.term, f"another leads: {self.says()}"
        assert now.registers >= before.registers, "registers are gone"
        assert len(self.commands) == before.commands, f"a command that no leader gave: {self.commands[-1]}"
        ended = {n for n, starts in now.starts.items() if starts != before.starts.get(n)} - {may_end}
        assert not ended, f"ended: {ended}; {self.says()}"
        foreign = [
            s for s in self.subjects("JOB", "sw.squall.job.*.task.*.*") if not HONEST.match(_task(s) + "-0")
        ]
        assert foreign == [], "dispatched, but never submitted"
        assert self.subjects("RES", "sw.squall.res.*.evil") == {}, "run, but never submitted"
        jobs = set(self.progress().jobs)
        assert jobs <= JOBS, f"jobs that nobody submitted: {jobs - JOBS}"
        orders = {
            order
            for (order,) in self._rows("SELECT DISTINCT order_id FROM fills WHERE order_id NOT LIKE 'a%'")
        }
        assert {o for o in orders if not o.startswith(OWN)} <= set(effects)

    def honest_ledger(self) -> None:
        """Each task that was filled, with no attacker's register, was filled as its input demands."""
        filled = {row[0]: row for row in self.fills() if HONEST.match(row[0])}
        count = len(self.accepted()) + 1000
        right = {row[0]: row for row in ledger(self.spec.seed, count)}
        wrong = {
            order: (row, right.get(order))
            for order, row in filled.items()
            if row != right.get(order) and order.removesuffix("-0") not in self.spoiled
        }
        assert wrong == {}


def _task(subject: str) -> str:
    return subject.rsplit(".", 1)[1]


@contextlib.contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Any:
    before = owner.__dict__[name]
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


@contextlib.contextmanager
def fighting(folder: Path, **changes: Any) -> Any:
    """A swarm at work inside the block, with all its agents hijacked and waiting for orders."""
    arena = Arena(folder, **changes)
    arena.start()
    try:
        yield arena
    finally:
        arena.end()


if sys.platform != "linux":
    raise RuntimeError("the attacks look into /proc")
