"""Effects out: what a sink's answer means, what a spec may name, and what is done about each answer."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from squall.bus.tasks import wait_until
from squall.services.effects import DoneBeforeError, LaterError, RefusedError, each, journal
from squall.services.effects.each import OPEN_MAX, Each, OneByOne
from squall.services.effects.kinds import KINDS, is_outside, kind_of, limits_of, load
from squall.services.effects.port import Register, Sending, Ties
from squall.services.effects.python import Function
from squall.services.errors import SpecError
from squall.services.rules.sinks import (
    WAIT_S,
    WAIT_S_MAX,
    Away,
    Carried,
    Outcome,
    Refused,
    Unknown,
    Wait,
    of_publish,
    of_status,
)
from squall.services.run.spec import Spec
from squall.services.run.swarm_toml import convert


@pytest.mark.parametrize(
    ("status", "asks_s", "means"),
    [
        *((status, None, Carried()) for status in (200, 201, 202, 204, 299)),
        *((status, None, Carried(before=True)) for status in (208, 409)),
        *((status, None, Refused("said")) for status in (301, 307, 400, 401, 403, 404, 410, 418, 422, 451)),
        *((status, None, Unknown("said")) for status in (408, 425, 500, 502, 503, 504, 599)),
        (429, None, Wait(WAIT_S, "said")),
        (429, 3.0, Wait(3.0, "said")),
        (429, 0.0, Wait(0.0, "said")),
        (429, 9e9, Wait(WAIT_S_MAX, "said")),
        (503, 2.0, Wait(2.0, "said")),
        (500, 2.0, Unknown("said")),
        (400, 2.0, Refused("said")),
    ],
)
def test_what_an_answer_means(status: int, asks_s: float | None, means: Outcome) -> None:
    assert of_status(status, asks_s, "said") == means


@pytest.mark.parametrize(
    ("kind", "code", "means"),
    [
        ("stored", 0, Carried()),
        ("duplicate", 0, Carried(before=True)),
        ("refused", 10054, Refused("the stream refused it: why")),
        ("refused", 10077, Wait(WAIT_S, "the stream refused it: why")),
        ("unknown", 0, Unknown("why")),
    ],
)
def test_what_a_stream_says_means(kind: Any, code: int, means: Outcome) -> None:
    assert of_publish(kind, code, "why") == means


def spec(**fields: Any) -> Spec:
    return convert({"pattern": "hierarchical", **fields}, "swarm.toml")


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("venue", "venue"),
        ("none", "none"),
        ("http://127.0.0.1:1/x", "http"),
        ("https://orders.example/x", "http"),
        ("nats:orders.new", "nats"),
        ("mine:send", "python"),
        ("a.b:send.it", "python"),
        ("path/to/mine.py:send", "python"),
    ],
)
def test_a_sink_is_told_by_how_its_name_begins(name: str, module: str) -> None:
    assert kind_of(spec(effects=name).effects).module == module
    assert is_outside(name) is (module not in ("venue", "none"))


def test_a_run_of_before_effects_could_go_elsewhere_had_a_venue() -> None:
    assert not is_outside(None)
    assert spec().effects == "venue"


@pytest.mark.parametrize(
    ("effects", "says", "remedy"),
    [
        ("https://me:secret@orders.example/x", "credentials do not belong in a URL", "SINK_TOKEN"),
        ("http://", "is no URL", "for instance https://"),
        ("htps://orders.example", "is of no kind that there is", "did you mean https:?"),
        ("nope", "is of no kind that there is", "did you mean none?"),
        ("mine", "is of no kind that there is", ""),
        ("nats:", "names no subject", "nats:orders.new"),
        ("nats:orders.>", "names no subject", ""),
        ("nats:orders..new", "names no subject", ""),
        ({"use": "none", "headers": {"X": "TOKEN"}}, "headers is of no use", "it takes nothing"),
        ({"use": "mine:send", "server": "nats://x"}, "server is of no use", "it takes journal"),
        ({"use": "https://a.example", "headers": {"X": "not a name"}}, "whose name is none", "never what"),
        ({"use": "https://a.example", "hedaers": {}}, "'hedaers' of effects", "did you mean"),
        ({"use": "mine:send", "batch": 5}, "batch is of no use", "it takes journal"),
        ({"use": "none", "templates": {"X": "{key}"}}, "templates is of no use", "it takes nothing"),
        ({"use": "https://a.example", "batch": 0}, "batch", ""),
        ({"use": "https://a.example", "templates": {"X": "{symbol}"}}, "names {symbol}", "{effect.symbol}"),
        ({"use": "https://a.example", "templates": {"X": "{env.a-b}"}}, "whose name is none", "never what"),
        (
            {"use": "https://a.example", "templates": {"Host": "x"}},
            "with a header Host of yours",
            "leave it out",
        ),
        ({"use": "https://a.example", "templates": {"a b": "x"}}, "with a header a b of yours", "rename it"),
        (
            {"use": "https://a.example", "templates": {"x": "y"}, "headers": {"X": "TOKEN"}},
            "both in headers and in templates",
            "leave one of them out",
        ),
        (
            {"use": "https://a.example", "templates": {"X": "{key}"}, "batch": 2},
            "is made from each effect, and a batch has many",
            "leave batch out",
        ),
        (
            {"use": "https://a.example", "journal": "https://me:pw@a.example/j"},
            "credentials do not belong",
            "SINK_TOKEN",
        ),
    ],
)
def test_what_cannot_be_a_sink_is_refused_in_a_sentence(effects: Any, says: str, remedy: str) -> None:
    with pytest.raises(SpecError) as caught:
        spec(effects=effects)
    assert says in str(caught.value)
    assert remedy in f"{caught.value} {caught.value.remedy}"
    assert "secret" not in f"{caught.value} {caught.value.remedy}"


def test_a_spec_with_a_sink_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    asked = spec(
        effects={
            "use": "https://a.example/x",
            "headers": {"Authorization": "TOKEN"},
            "templates": {"X-Swarm": "{env.SWARM}"},
            "journal": "j.jsonl",
            "batch": 50,
        }
    )
    file = tmp_path / "swarm.toml"
    file.write_text(asked.toml())
    from squall.services.run.swarm_toml import load as load_spec

    assert load_spec(file) == asked


def sending(name: str, **more: Any) -> Sending:
    facts: dict[str, Any] = {"headers": {}, "server": "", "credentials": "", "journal": "", "together": 4}
    return Sending(name=name, **{**facts, **more})


@pytest.mark.parametrize(
    ("sink", "says"),
    [
        (sending("https://a.example", headers={"Authorization": "NO_SUCH_TOKEN"}), "which is not set"),
        (sending("nats:orders.new"), "it is not said where the broker"),
        (sending("nats:orders.new", server="nats://me:pw@127.0.0.1"), "credentials do not belong in a URL"),
        (sending("nats:orders.new", server="nats://x.example", credentials="C"), "in clear text"),
        (sending("nats:orders.new", server="nats://127.0.0.1", credentials="NO_SUCH_CREDS"), "is not set"),
        (sending("no_such_module:send"), "cannot be imported"),
        (sending("operator:add"), ""),
        (sending("json:no_such"), "is not there"),
        (sending("sys:exit"), "does not take two arguments"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_open(
    sink: Sending, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NATS_URL", raising=False)
    with pytest.raises(SpecError) if says else contextlib.nullcontext() as caught:
        load(sink)
    if says and caught is not None:
        assert says in str(caught.value)
        assert "pw" not in str(caught.value)


def test_what_is_not_known_of_a_sink_is_among_the_limits() -> None:
    assert limits_of(sending("venue")) == []
    (limit,) = limits_of(sending("https://a.example/x"))
    assert "https://a.example/x, which keeps no journal" in limit
    (limit,) = limits_of(sending("https://a.example/x", journal="j"))
    assert "kept by that sink itself" in limit
    assert "window of duplicates" in limits_of(sending("nats:a"))[1]
    assert "nowhere" in limits_of(sending("none"))[0]
    assert {kind.module for kind in KINDS.values()} == {"venue", "none", "http", "nats", "python"}


# One by one.


class Bench:
    """Effects on their way to a function that answers for a sink.

    Attributes:
        answer: What it says of a key that came so often.
        sent: Keys, as they came.
        told: Lines of the history.
        settled: Tasks whose registers were left behind, once they were told of.
    """

    def __init__(self, answer: Callable[[str, int], Outcome], *, together: int = 4) -> None:
        self.answer = answer
        self.sent: list[str] = []
        self.told: list[dict[str, Any]] = []
        self.settled: list[str] = []
        self.keeps_back = False
        self.counters: Counter[str] = Counter()
        ties = Ties(
            record=lambda op, kind, **facts: self.told.append({"op": op, "type": kind, **facts}),
            counters=self.counters,
            settled=self._settle,
            keeps_back=lambda: self.keeps_back,
        )
        self.carrier = Each(OneByOne(self), ties, together=together, pause_first_s=0.001)

    async def send(self, key: str, body: bytes) -> Outcome:
        self.sent.append(key)
        await asyncio.sleep(0)
        return self.answer(key, self.sent.count(key))

    async def _settle(self, register: Register) -> None:
        self.settled.append(register.task)

    async def deliver(self, *tasks: str, effects: int = 1) -> list[Register]:
        registers = [
            (Register(task, n), [(f"{task}-{i}", b"{}") for i in range(effects)])
            for n, task in enumerate(tasks)
        ]
        assert await self.carrier.deliver(registers)
        return [register for register, _ in registers]

    async def until(self, look: Callable[[], Any], what: str) -> Any:
        async def probe() -> Any:
            return look()

        return await wait_until(probe, bool, timeout_s=30, what=what)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Bench]:
        running = asyncio.ensure_future(self.carrier.run())
        try:
            yield self
        finally:
            running.cancel()
            await asyncio.wait({running})


@pytest.mark.anyio
async def test_each_effect_is_sent_once_where_the_sink_takes_all() -> None:
    async with Bench(lambda key, nth: Carried()).running() as bench:
        registers = await bench.deliver(*(f"t-{n}" for n in range(600)), effects=2)
        await bench.until(lambda: bench.counters["filled"] == 1200, "their ends")
    assert Counter(bench.sent) == Counter(f"t-{n}-{i}" for n in range(600) for i in range(2))
    assert not any(register.open for register in registers)
    left = {register.task for register in registers} & {*bench.settled}
    assert len(left) == len(bench.settled) <= OPEN_MAX  # each at most once, and only what was left behind


@pytest.mark.anyio
async def test_what_is_refused_ends_with_its_reason_and_is_sent_once() -> None:
    async with Bench(lambda key, nth: Refused("no\x1b") if key == "t-1-0" else Carried()).running() as bench:
        registers = await bench.deliver("t-0", "t-1", "t-2")
    assert bench.sent.count("t-1-0") == 1
    assert [register.open for register in registers] == [0, 0, 0]
    (line,) = [line for line in bench.told if line["op"] == "refuse"]
    assert (line["what"], line["task"], line["order_id"]) == ("declined", "t-1", "t-1-0")
    assert line["reason"] == "no\\x1b"


@pytest.mark.anyio
async def test_what_has_no_answer_is_sent_again_with_the_same_key_and_holds_up_nobody() -> None:
    async with Bench(
        lambda key, nth: Unknown("500") if key == "t-1-0" and nth < 4 else Carried(before=nth > 1)
    ).running() as bench:
        registers = await bench.deliver("t-0", "t-1", "t-2")
        assert registers[0].open == registers[2].open == 0
        await bench.until(lambda: bench.settled, "its end")
    assert bench.settled == ["t-1"]
    assert bench.sent.count("t-1-0") == 4
    assert bench.counters["duplicate"] == 1
    assert [line["tries"] for line in bench.told if line["type"] == "unknown"] == [1, 2, 3]


@pytest.mark.anyio
async def test_a_sink_that_wants_to_be_left_alone_is_asked_nothing_by_anybody() -> None:
    loop, waits = asyncio.get_running_loop(), 0.3
    times: list[float] = []

    def answer(key: str, nth: int) -> Outcome:
        times.append(loop.time())
        return Wait(waits, "429") if len(times) == 1 else Carried()

    async with Bench(answer, together=1).running() as bench:
        await bench.deliver("t-0", "t-1", "t-2")
        await bench.until(lambda: len(bench.counters) and bench.counters["filled"] == 3, "their ends")
    assert times[1] - times[0] >= waits - 0.01
    assert bench.counters["venue_waits"] == 1


@pytest.mark.anyio
async def test_a_sink_that_is_away_is_waited_for_and_nobody_is_further_ahead_for_it() -> None:
    away = True
    async with Bench(lambda key, nth: Away("refused") if away else Carried()).running() as bench:
        registers = await bench.deliver("t-0", "t-1")
        assert [register.open for register in registers] == [1, 1]
        away = False
        await bench.until(lambda: len(bench.settled) == 2, "their ends")
    assert bench.counters["filled"] == 2


@pytest.mark.anyio
async def test_a_sink_that_answers_on_nothing_makes_everybody_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(each, "LEAVE_S", 0.01)
    ill = True
    async with Bench(lambda key, nth: Unknown("500") if ill else Carried(), together=64).running() as bench:
        await bench.deliver(*(f"a-{n}" for n in range(OPEN_MAX)))
        delivering = asyncio.ensure_future(bench.deliver("b-0"))
        await bench.until(lambda: bench.sent.count("b-0-0") > 1, "repeats")
        assert not delivering.done()
        ill = False
        await delivering
        await bench.until(lambda: bench.counters["filled"] == OPEN_MAX + 1, "their ends")


@pytest.mark.anyio
async def test_while_effects_are_kept_back_nothing_is_sent_again_and_all_of_it_is_given_back() -> None:
    async with Bench(lambda key, nth: Unknown("500")).running() as bench:
        registers = await bench.deliver("t-0", "t-1")
        bench.keeps_back = True
        recalled: set[Register] = set()
        while len(recalled) < 2:
            recalled |= bench.carrier.recall()
            await asyncio.sleep(0.01)
        assert recalled == {*registers}
        sent = len(bench.sent)
        assert not await bench.carrier.deliver([(Register("t-2", 3), [("t-2-0", b"{}")])])
        await asyncio.sleep(0.05)
        assert Counter(bench.sent[sent:]) <= Counter(["t-2-0"])  # what is fresh was let through
        assert bench.carrier.open <= 1


@pytest.mark.anyio
@pytest.mark.parametrize("body", [b"{oops", b"", b"{} {}"])
async def test_what_is_no_json_value_is_not_sent(body: bytes) -> None:
    async with Bench(lambda key, nth: Carried()).running() as bench:
        register = Register("t", 1)
        assert await bench.carrier.deliver([(register, [("t-0", body), ("t-1", b"1")])])
    assert (register.open, bench.sent) == (0, ["t-1"])


# A function.


def plain(effect: Any, key: str) -> None:
    raising = {"refused": RefusedError("no"), "before": DoneBeforeError(), "later": LaterError(2.5, "busy")}
    if effect.get("n") == "broken":
        raise KeyError(key)
    if error := raising.get(effect["n"]):
        raise error


async def awaited(effect: Any, key: str) -> None:
    await asyncio.sleep(0)
    plain(effect, key)


@pytest.mark.anyio
@pytest.mark.parametrize("function", [plain, awaited])
async def test_what_a_function_raises_says_what_became_of_the_effect(
    function: Callable[[Any, str], Awaitable[None] | None],
) -> None:
    with ThreadPoolExecutor(1) as threads:
        sink = Function(function, threads)
        said = {
            n: await sink.send("k", json.dumps({"n": n}).encode()) for n in ("refused", "before", "later")
        }
        assert said == {"refused": Refused("no"), "before": Carried(before=True), "later": Wait(2.5, "busy")}
        assert await sink.send("k", b'{"n": 1}') == Carried()
        broken = await sink.send("k", b'{"n": "broken"}')
        assert isinstance(broken, Unknown)
        assert broken.reason.startswith("it raised KeyError: 'k', at ")
        assert "test_sinks.py" in broken.reason


# A service.


# A journal.


@pytest.mark.anyio
async def test_a_journal_becomes_books_like_the_venues(tmp_path: Path) -> None:
    order = {"account": "a", "symbol": "s", "n": 1, "side": "buy", "quantity": 2, "price": 3.5}
    rows = [
        {"order_id": "t-1-0", "time_s": 1.0, "outcome": "", "body": order},
        {"order_id": "t-1-0", "time_s": 2.0, "outcome": "filled", "body": order},
        {"order_id": "t-1-0", "time_s": 3.0, "outcome": "duplicate", "body": order},
        {"order_id": "t-2-0", "time_s": 4.0, "outcome": "rejected", "reason": "no\x1b", "body": {"x": 1}},
        {"order_id": "t-3-0", "time_s": 5.0, "outcome": "filled", "body": [1]},
    ]
    file, books = tmp_path / "j.jsonl", tmp_path / "venue.sqlite"
    file.write_text("\n".join(json.dumps(row) for row in rows))
    assert await journal.keep(sending("http://x", journal=str(file)), books) == 5
    with contextlib.closing(sqlite3.connect(books)) as database:
        fills = list(database.execute("SELECT order_id, account, quantity, time_s FROM fills"))
        refusals = list(database.execute("SELECT order_id, reason FROM refusals"))
        bodies = [json.loads(body) for (body,) in database.execute("SELECT body FROM journal ORDER BY seq")]
    assert fills == [("t-1-0", "a", 2, 2.0), ("t-3-0", "", 0, 5.0)]
    assert refusals == [("t-2-0", "no\\x1b")]
    assert bodies == [row["body"] for row in rows]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("nonsense\n", "line 1 is no row of a journal"),
        ('{"order_id": "a"}\n', "line 1 is no row of a journal"),
        ('{"order_id": "a", "time_s": 1.0, "outcome": "maybe"}\n', "line 1 is no row of a journal"),
        (None, "No such file"),
    ],
)
async def test_what_is_no_journal_leaves_no_books(tmp_path: Path, text: str | None, says: str) -> None:
    file, books = tmp_path / "j.jsonl", tmp_path / "venue.sqlite"
    if text is not None:
        file.write_text(text)
    with pytest.raises(journal.JournalError, match=says):
        await journal.keep(sending("http://x", journal=str(file)), books)
    assert not books.exists()
