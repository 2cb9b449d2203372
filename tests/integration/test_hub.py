"""A hub on a real broker: each request is decided once, whoever leads, and what is not one is not decided."""

from __future__ import annotations

import asyncio
import functools
import itertools
import threading
import time
from typing import Any

import pytest
from tests.integration.starred import (
    ALSO_MINE,
    PATIENT_S,
    KillingPoints,
    Star,
    counted,
    order,
    seen,
    service_of,
    starred,
)

from squall.bus import log
from squall.bus.codec import decode
from squall.bus.messages import TaskResult, TermClaimed
from squall.bus.subjects import ANY, last_token
from squall.bus.tasks import task_group, wait_until
from squall.chaos.judge.replay import Expected, Requested, decisions
from squall.services.node.points import Points
from squall.services.patterns import star as star_pattern
from squall.services.roles import hub, hub_sweeper
from squall.services.roles.announced import Announced

pytestmark = [pytest.mark.anyio, pytest.mark.nats]


async def replayed(s: Star) -> list[Expected]:
    """What the log's requests come to, in their order, whoever decided them."""
    requests = []
    for record in await s.log_of(s.names.request(ANY, ANY)):
        asked = decode(record.data, TaskResult)
        requests.append(
            Requested(record.sequence, last_token(record.subject), asked.status == "ok", asked.effects)
        )
    return list(decisions(requests, bound=s.bus.spec.exposure_max))


async def test_requests_are_decided_in_the_order_of_the_log_within_the_exposure(bus: Any) -> None:
    async with starred(bus, exposure_max=10) as s, s.hub():
        await s.submit("t1", "t2", "t3", body=b"input")
        await s.ask("t1", order("buy", 8))
        await s.ask("t2", order("buy", 8))
        await s.ask("t3", order("sell", 4))
        made = await s.decided(3)
        state = await s.idle()
        await wait_until(s.registers, lambda tasks: len(tasks) == 3, timeout_s=PATIENT_S, what="registers")
    assert [at.task for at in made] == ["t1", "t2", "t3"]
    assert are_as_replayed(made, replayed_of(made, 10))
    assert [bool(at.denied) for at in made] == [False, True, False]
    assert [at.reduces for at in made] == [False, False, True]
    assert state.positions == {"wti": 6}


async def test_what_is_read_while_a_snapshot_is_stored_is_in_the_next_one(
    bus: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = hub.HubLog.store
    stored = 0

    async with starred(bus) as s:

        async def store_slowly(self: Any, *what: Any, snapshot: bool, **how: Any) -> None:
            nonlocal stored
            await store(self, *what, snapshot=snapshot, **how)
            stored += snapshot
            if stored == 1 and snapshot:
                await s.submit("t2")
                await wait_until(
                    lambda: seen(self._standing.ingress), lambda at: at == 2, timeout_s=PATIENT_S, what="t2"
                )

        monkeypatch.setattr(hub.HubLog, "store", store_slowly)
        await s.submit("t1")
        async with s.hub():
            state = await s.until(lambda state: state.ingress == 2)
    assert state.open == (1, 1)


def replayed_of(made: list[TaskResult], bound: int) -> list[Expected]:
    asked = {"t1": order("buy", 8), "t2": order("buy", 8), "t3": order("sell", 4)}
    requests = [Requested(at.request, at.task, True, (asked[at.task],)) for at in made]
    return list(decisions(requests, bound=bound))


def are_as_replayed(made: list[TaskResult], expected: list[Expected]) -> bool:
    """Whether these decisions are those, one after the other."""
    return [at.task for at in made] == [due.task for due in expected] and all(
        due.allows(at.effects) for at, due in zip(made, expected, strict=True)
    )


@pytest.mark.parametrize("point", hub.POINTS)
async def test_a_hub_killed_between_two_steps_is_followed_by_one_that_decides_the_rest_once(
    bus: Any, point: str
) -> None:
    tasks = [f"t{number}" for number in range(20)]
    async with starred(bus, exposure_max=30, snapshot_every=3) as s:
        await s.submit(*tasks)
        points = KillingPoints(point, 1 if point in ("hub.claimed", "hub.resumed") else 2)
        async with s.hub("hub-1", points):
            await s.claimed()
            for number, task in enumerate(tasks):
                await s.ask(task, order("buy" if number % 3 else "sell", number))
                if number % 5 == 4:  # so that there are several batches

                    async def goes_on(asked: int = number + 1) -> bool:
                        return points.struck.is_set() or len(await s.decisions()) == asked

                    await wait_until(goes_on, bool, timeout_s=PATIENT_S, what="decisions, or the end")
            async with asyncio.timeout(PATIENT_S), s.hub("hub-2"):
                await points.struck.wait()
                await s.decided(len(tasks))
                await s.idle()
        made = await s.decisions()
        assert set(counted(made).values()) == {1}
        assert are_as_replayed(made, await replayed(s))
        assert [at.request for at in made] == sorted(at.request for at in made)


async def test_a_request_that_is_repeated_has_one_decision(bus: Any) -> None:
    async with starred(bus) as s, s.hub() as service:
        await s.submit("t", "last")
        await s.ask("t", order("buy", 3))
        await s.decided(1)
        refused = await s.ask("t", order("buy", 3))
        assert refused.kind == "refused"
        async with s.bus.connect("hub-1") as trimming:  # forgotten where it was written, and made once more
            await log.trim(trimming, s.names.stream("REQ"), below=3)
        again = await s.ask("t", order("buy", 3))
        assert again.accepted
        await s.ask("last")
        made = await s.decided(2)
        state = await s.idle()
    assert counted(made) == {"t": 1, "last": 1}
    assert state.positions == {"wti": 3}
    assert service.counters["requests_ignored"] == 1


async def test_who_asks_for_what_is_not_his_is_not_answered(bus: Any) -> None:
    owners = star_pattern.owners(star_pattern.StarSpec(agents=3))
    foreign = next(kind for kind, owner in owners.items() if owner != "agent-1")
    async with starred(bus) as s, s.hub() as service:
        await s.submit("mine", "never-asked")
        await s.submit("theirs", kind=foreign)
        await s.ask("theirs", order("buy", 1))
        await s.ask("never-submitted", order("buy", 1))
        await s.ask("mine", order("buy", 2))
        made = await s.decided(1)
        state = await s.until(lambda state: state.decided and state.requests)
    assert counted(made) == {"mine": 1}
    assert state.positions == {"wti": 2}
    assert len(state.open) == 2
    assert service.counters["requests_ignored"] == 2
    history: Any = service.history
    ignored = [(line["what"], line["agent"], line["task"]) for line in history.of("ignore", "fail")]
    assert ignored == [("foreign", "agent-1", "theirs"), ("not-open", "agent-1", "never-submitted")]


DEAD = {
    "unreadable": ({"data": b"\xc1garbage"}, "its request cannot be read"),
    "given up": ({"status": "dead", "reason": "the handler gave it up"}, "the handler gave it up"),
    "cancelled": ({"status": "cancelled"}, "its request says cancelled"),
}


@pytest.mark.parametrize(("asked", "reason"), DEAD.values(), ids=DEAD)
async def test_a_request_that_asks_for_nothing_ends_its_task_as_a_dead_letter(
    bus: Any, asked: dict[str, Any], reason: str
) -> None:
    async with starred(bus) as s, s.hub():
        await s.submit("t", body=b"the input")
        await s.ask("t", **asked)
        (made,) = await s.decided(1)
        (letter,) = await s.letters(1)
        await s.idle()
    assert (made.status, made.effects) == ("dead", ())
    assert made.reason.startswith(reason)
    assert letter.task.body == b"the input"
    assert letter.reason == made.reason
    assert letter.agent == "agent-1"


async def test_a_task_acknowledged_without_a_request_is_buried(
    bus: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_sweeper, "PATIENCE_MIN_S", 0.3)
    async with starred(bus, ack_wait_s=0.15) as s, s.hub() as service:
        await s.submit("t", body=b"the input")
        await s.acknowledge(await s.pull())
        (made,) = await s.decided(1)
        (letter,) = await s.letters(1)
    assert (made.status, made.reason, made.request) == ("dead", "acknowledged without a request", 0)
    assert letter.task.body == b"the input"
    assert service.counters["buried"] == 1


async def test_a_task_is_looked_for_no_sooner_than_its_patience_each_time(
    bus: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    patience_s = 0.5
    monkeypatch.setattr(hub_sweeper, "PATIENCE_MIN_S", patience_s)
    monkeypatch.setattr(hub_sweeper, "SWEEP_S", patience_s / 20)
    async with starred(bus, ack_wait_s=0.15) as s, s.hub():
        begun_s = asyncio.get_running_loop().time()
        await s.submit("t")
        await s.acknowledge(await s.pull())
        await s.decided(1)
        took_s = asyncio.get_running_loop().time() - begun_s
    assert took_s >= hub_sweeper.LOOKS * patience_s


async def test_a_task_whose_request_came_before_it_is_buried(
    bus: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its request was passed over when there was no such task, and the register takes no other."""
    monkeypatch.setattr(hub_sweeper, "PATIENCE_MIN_S", 0.3)
    async with starred(bus, ack_wait_s=0.15) as s, s.hub() as service:
        await s.ask("t", order("buy", 1))
        await wait_until(
            lambda: seen(service.counters["requests_ignored"]), bool, timeout_s=PATIENT_S, what="a look"
        )
        await s.submit("t")
        assert (await s.ask("t", order("buy", 1))).kind == "refused"
        await s.acknowledge(await s.pull())
        (made,) = await s.decided(1)
        state = await s.idle()
    assert (made.status, made.request) == ("dead", 0)
    assert state.positions == {}


async def test_a_task_that_waits_is_not_buried(bus: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_sweeper, "PATIENCE_MIN_S", 0.3)
    async with starred(bus, ack_wait_s=0.15) as s, s.hub():
        await s.submit("waits", "asked")
        await s.submit("lost", kind=ALSO_MINE)
        while last_token((delivery := await s.pull()).subject) != "lost":
            pass
        await s.acknowledge(delivery)
        # Once the one that is lost is found, the other was looked at as often.
        made = await s.decided(1)
        state = await s.until(lambda state: state.decided == 1)
    assert counted(made) == {"lost": 1}
    assert len(state.open) == 2


async def test_a_task_submitted_once_more_after_it_was_decided_is_closed(
    bus: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_sweeper, "PATIENCE_MIN_S", 0.3)
    async with starred(bus, ack_wait_s=0.15) as s, s.hub():
        await s.submit("t")
        await s.acknowledge(await s.pull())
        await s.ask("t", order("buy", 3))
        await s.decided(1)
        await s.submit("t", repeat="-again")
        await s.acknowledge(await s.pull())
        await s.until(lambda state: state.ingress == 2)
        state = await s.idle()
        assert counted(await s.decisions()) == {"t": 1}
    assert state.positions == {"wti": 3}


async def test_what_is_asked_for_while_nobody_leads_is_decided_by_who_leads_next(bus: Any) -> None:
    async with starred(bus) as s:
        await s.submit("t1", "t2")
        async with s.hub("hub-1"):
            await s.ask("t1", order("buy", 1))
            await s.decided(1)
        await s.ask("t2", order("buy", 2))
        async with s.hub("hub-2") as service:
            made = await s.decided(2)
            state = await s.idle()
    first, second = made
    assert (first.task, second.task) == ("t1", "t2")
    assert second.term > first.term
    assert state.positions == {"wti": 3}
    history: Any = service.history
    (resumed,) = history.of("resume")
    assert resumed["decided"] == 1


async def test_a_leader_that_is_asked_to_step_down_is_followed_long_before_its_lease_ends(bus: Any) -> None:
    async with starred(bus, lease_s=10.0) as s, s.hub("hub-1") as first:
        await s.submit("t1", "t2")
        await s.ask("t1")
        await s.decided(1)
        async with s.hub("hub-2"):
            await s.ask("t2")
            await s.decided(2)
            began_s = time.monotonic()
            first.step_down.set()
            await s.submit("t3")
            await s.ask("t3")
            made = await s.decided(3)
            took_s = time.monotonic() - began_s
    terms = [at.term for at in made]
    assert terms[0] == terms[1] < terms[2]
    assert took_s < 5.0  # half of the lease; one second is for a machine that does nothing else


class Asleep(Points):
    """Has its node stand still at a point, once, as a stopped process does."""

    def __init__(self, point: str, length_s: float) -> None:
        super().__init__(lambda point: None)
        self._point, self._length_s = point, length_s
        self.slept = False

    async def __call__(self, point: str) -> None:
        if point == self._point and not self.slept:
            self.slept = True
            self._sleep()

    def _sleep(self) -> None:
        time.sleep(self._length_s)


async def test_a_hub_that_wakes_up_after_its_lease_writes_nothing_and_is_obeyed_by_nobody(bus: Any) -> None:
    async with starred(bus) as s, task_group() as tasks:
        told = service_of(s.bus, s.spoke, "agent-1", "agent", None)
        announced = Announced(told, s.bus.spec.lease_s, "reduce-only")
        await announced.listen(tasks, slots=1)
        await s.submit("t1", "t2", "t3")
        zombie: list[Any] = []

        def serve_apart() -> None:
            """A loop of its own, so that it stands still alone."""

            async def lead() -> None:
                async with s.hub("hub-1", Asleep("hub.gathered", 2.5)) as service:
                    zombie.append(service)
                    await asyncio.to_thread(over.wait)

            asyncio.run(lead())

        over = threading.Event()
        apart = asyncio.create_task(asyncio.to_thread(serve_apart))
        try:
            await wait_until(lambda: seen(announced.term), bool, timeout_s=PATIENT_S, what="the first hub")
            deposed = announced.term
            await s.ask("t1", order("buy", 1))  # it stands still with this in its hands
            async with s.hub("hub-2"):
                await s.ask("t2", order("buy", 2))
                made = await s.decided(2)
                history: Any = told.history
                await wait_until(
                    lambda: seen(history.of("command", "fail")), bool, timeout_s=PATIENT_S, what="a refusal"
                )
                await wait_until(
                    lambda: seen(zombie[0].counters["fenced_writes"]),
                    bool,
                    timeout_s=PATIENT_S,
                    what="a refused write",
                )
                await s.ask("t3", order("buy", 3))
                made = await s.decided(3)
        finally:
            over.set()
            await apart
        terms = [at.term for at in made]
        assert deposed not in terms
        assert len(set(terms)) == 1
        assert told.counters["commands_refused"] >= 1
        assert announced.term == terms[0]
        obeyed = [line["term"] for line in history.of("command")]
        assert obeyed == sorted(set(obeyed))
        claims = [decode(record.data, TermClaimed) for record in await s.log_of(s.names.hub_seat.term)]
        assert [claim.holder for claim in claims][:2] == ["hub-1", "hub-2"]


async def test_a_spoke_that_begins_batches_without_end_holds_up_no_decision(bus: Any) -> None:
    async with starred(bus) as s, s.hub():
        await s.submit("t1", "t2")
        for number in range(500):
            headers = {"Nats-Batch-Id": f"b{number}", "Nats-Batch-Sequence": "1"}
            subject = s.names.request("agent-1", f"x{number}")
            await s.spoke.publish(subject, b"x", headers=headers, confirm=False)
        began_s = time.monotonic()
        await s.ask("t1")
        await s.decided(1)
        assert time.monotonic() - began_s < 5.0  # the broker gives up an open batch after ten seconds


async def test_one_class_that_stands_still_does_not_fill_the_ingress_for_the_others(bus: Any) -> None:
    tasks = [f"t{number}" for number in range(120)]
    async with starred(bus, ingress_max=40) as s, s.hub():
        await s.submit("stuck", kind=ALSO_MINE)
        for batch in (tasks[place : place + 15] for place in range(0, len(tasks), 15)):
            await wait_until(
                lambda: log.state(s.observer, s.names.stream("IN")),
                lambda state: state["messages"] <= 20,
                timeout_s=PATIENT_S,
                what="room in the ingress",
            )
            await s.submit(*batch)
            for task in batch:
                await s.ask(task)
        await s.decided(len(tasks))
        state = await s.until(lambda state: state.decided == len(tasks))
    assert len(state.open) == 1


async def test_the_log_is_trimmed_only_when_it_nears_its_bound(
    bus: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound = 512 * 1024
    monkeypatch.setattr(star_pattern, "LOG_BYTES", (bound, 0, bound))
    monkeypatch.setattr(hub, "ROOM_S", 0.02)
    tasks = [f"t{number}" for number in range(150)]
    value = b"x" * 2000
    async with starred(bus, snapshot_every=10) as s, s.hub() as service:
        await s.submit(*tasks)
        for number, task in enumerate(tasks):
            await wait_until(
                functools.partial(s.ask, task, order("buy", 1), value=value),
                lambda outcome: outcome.accepted,
                timeout_s=PATIENT_S,
                what="room for a request",
            )
            if number == 20:
                await s.decided(21)
                assert len(await s.requests()) == 21
        state = await s.idle()
        held = await log.state(s.observer, s.log)
        await wait_until(s.registers, lambda there: len(there) == len(tasks), timeout_s=30, what="registers")
        assert await log.last(s.observer, s.log, s.names.hub_seat.term) is not None
        assert await log.last(s.observer, s.log, s.names.hub_seat.lease) is not None
        service.stop.set()
        async with s.hub("hub-2"):  # what is left is enough for whoever leads next
            await s.submit("after")
            await s.ask("after", order("buy", 1))
            restored = await s.until(lambda state: "after" not in state.open and state.decided > len(tasks))
    assert restored.positions == {"wti": 151}
    assert state.trimmed > 0
    assert state.decided == len(tasks)
    assert state.positions == {"wti": 150}
    assert held["bytes"] < bound
    assert service.counters["nearly_full"] >= 1


async def test_a_batch_of_dead_letters_is_no_larger_than_one_of_decisions(bus: Any) -> None:
    """Each letter holds the input of its task, which its request says nothing of."""
    tasks = [f"t{number}" for number in range(30)]
    async with starred(bus) as s:
        await s.submit(*tasks, body=b"x" * 500_000)
        for task in tasks:
            await s.ask(task, status="dead", reason="given up")
        async with s.hub() as service:
            await s.decided(len(tasks))
    history: Any = service.history
    assert max(line["decisions"] for line in history.of("decide")) <= hub.BATCH_BYTES_MAX / 500_000 + 1


async def test_what_is_asked_for_while_nobody_leads_leaves_room_for_the_next_term(
    bus: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound = 8 * 1024**2
    requests = star_pattern.REQUEST_BYTES_MAX * bound // star_pattern.LOG_BYTES[0]
    monkeypatch.setattr(star_pattern, "LOG_BYTES", (bound, 0, bound))
    monkeypatch.setattr(star_pattern, "REQUEST_BYTES_MAX", requests)
    monkeypatch.setattr(hub, "ROOM_S", 0.02)
    value = b"x" * 50_000
    names = (f"t{number}" for number in itertools.count())

    async def asks(task: str) -> bool:
        return (await s.ask(task, order("buy", 1), value=value)).accepted

    async with starred(bus) as s:
        async with s.hub("hub-1"):
            while await log.fullness(s.observer, s.log) < 0.7:
                await s.submit(task := next(names))
                await wait_until(lambda t=task: asks(t), bool, timeout_s=PATIENT_S, what="room")
                await s.until(lambda state: not state.open)
        async with s.bus.connect("hub-1") as trimming:
            await log.trim(trimming, s.names.stream("REQ"), below=10_000)
        await s.submit(task := next(names))
        while await asks(task):
            await s.submit(task := next(names))
        async with s.hub("hub-2"):
            state = await s.until(lambda state: state.trimmed > 0)
    assert state.decided > 0


async def test_a_reader_that_lags_behind_large_requests_is_not_cut_off(bus: Any) -> None:
    """The broker cuts off whoever has it keep 64 MiB."""

    def stand_still() -> None:
        time.sleep(0.01)  # as a loop does that decodes what it reads

    value, count = b"x" * 500_000, 200
    async with starred(bus) as s, s.bus.connect("hub-1") as reader:
        for number in range(count):
            assert (await s.ask(f"t{number}", value=value)).accepted
        await wait_until(
            lambda: log.state(s.observer, s.log),
            lambda state: state["last_seq"] == count,
            timeout_s=PATIENT_S,
            what="copies",
        )
        read = 0
        async for _ in log.read(reader, s.log, s.names.request(ANY, ANY), until=count):
            read += 1
            stand_still()
    assert read == count
    assert reader.counters["reconnects"] == 0
