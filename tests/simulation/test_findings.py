"""What a simulation has found, each as the schedule that shows it on the code as it was."""

from __future__ import annotations

import asyncio
import dataclasses
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from squall.bus.attempts import Doubts, Mark
from squall.bus.ended import Done, Failed
from squall.bus.fenced import FencedWriter
from squall.bus.messages import RunTask, TaskTried
from squall.bus.pull import Puller
from squall.bus.work_queue import WorkQueue
from squall.chaos.evidence.lives import Start
from squall.chaos.evidence.model import History
from squall.chaos.inject import draining, experiment
from squall.chaos.inject.schedule_file import load as load_schedule
from squall.chaos.judge.checks import hub_loss, leading, mesh, poison, repeats, ring
from squall.chaos.judge.mistakes import in_order
from squall.chaos.judge.under_way import Attempt
from squall.chaos.simulation.outcome import Outcome, Plan, outcome
from squall.services.node.history import History as Written
from squall.services.patterns import reading
from squall.services.roles import clearing, producer
from squall.services.roles.coordinator import Coordinator
from squall.services.roles.deciding import Deciding
from squall.services.roles.gated_gateway import Gate
from squall.services.roles.hub_log import HubLog
from squall.services.roles.hub_sweeper import Sweeper
from squall.services.rules.hub import Standing
from squall.services.run.swarm_toml import load

pytestmark = pytest.mark.simulation

FINDINGS = Path(__file__).parent / "findings"

Before = Callable[[pytest.MonkeyPatch], None]


def heartbeats_say_nothing(patch: pytest.MonkeyPatch) -> None:
    """A reader learned of what was lost with a link by the next record alone; of the last, never."""
    told = Puller._on_status

    def all_but_heartbeats(self: Puller, status: str, headers: Mapping[str, str]) -> None:
        if status != "100":
            told(self, status, headers)

    patch.setattr(Puller, "_on_status", all_but_heartbeats)


def snapshots_at_once(patch: pytest.MonkeyPatch) -> None:
    """A hub stored a snapshot before it had read again what was decided before it, and what was not in it."""
    patch.setattr(Standing, "is_caught_up", property(lambda self: True))


def the_load_ends_however_long_it_takes(patch: pytest.MonkeyPatch) -> None:
    """A fault at the load's end lasted until the producer had ended its jobs, which it kept it from doing."""
    patch.setattr(experiment, "LOAD_ENDS_S", 1e9)


def letters_are_not_waited_for(patch: pytest.MonkeyPatch) -> None:
    """Dead letters were read back while the broker still copied them."""
    patch.setattr(reading, "LETTERS_S", 0.0)


def trimmed_with_a_margin_only(patch: pytest.MonkeyPatch) -> None:
    """A leader whose renewals are answered late never trimmed the ingress, and so the load never ended."""
    the_load_ends_however_long_it_takes(patch)
    trim = FencedWriter.trim

    async def if_it_may_act(self: FencedWriter, *, below: int, stream: str = "", subject: str = "") -> bool:
        return self._leadership.may_act() and await trim(self, below=below, stream=stream, subject=subject)

    patch.setattr(FencedWriter, "trim", if_it_may_act)


def counted_once_others_run(patch: pytest.MonkeyPatch) -> None:
    """What ran alone, and ended well, was counted so once others ran: one of them ended the peer before."""
    mark_end = Deciding._mark_end

    async def once_others_run(self: Deciding, task: RunTask, tried: TaskTried, ended: Done | Failed) -> None:
        await asyncio.sleep(0.2)
        await mark_end(self, task, tried, ended)

    async def later(self: Deciding, task: RunTask, tried: TaskTried, ended: Done | Failed) -> None:
        self._tasks.daemon(once_others_run(self, task, tried, ended))

    patch.setattr(Deciding, "_mark_end", later)


def all_that_is_heard_of_meanwhile(patch: pytest.MonkeyPatch) -> None:
    """Who clears the ingress went through what it knew of while it learned of more, and ended by that."""
    patch.setattr(clearing, "tuple", lambda items: items, raising=False)


def what_the_hub_before_trimmed_is_not_known(patch: pytest.MonkeyPatch) -> None:
    """A hub waited for ever for the last submissions, which the one before it had decided and trimmed."""

    async def not_at_all(self: HubLog) -> None:
        pass

    patch.setattr(HubLog, "skip_trimmed", not_at_all)


def every_decision_is_taken_for_its_own(patch: pytest.MonkeyPatch) -> None:
    """A hub that was deposed and did not hear of it took a decision of the next for one overlooked."""
    made = Sweeper.__init__

    def of_any_term(self: Sweeper, *args: Any) -> None:
        made(self, *args)
        self._term = sys.maxsize

    patch.setattr(Sweeper, "__init__", of_any_term)


def poison_takes_no_time(patch: pytest.MonkeyPatch) -> None:
    """The bound did not know of tasks that kill their agent one after the other, each in all its attempts."""
    bound_s = draining.drain_bound_s
    patch.setattr(draining, "drain_bound_s", lambda *args, poison: bound_s(*args))


def an_attempt_ends_with_its_task(patch: pytest.MonkeyPatch) -> None:
    """What waited for a last attempt, alone though its task had ended, was said to be let go."""
    attempts = repeats.attempts

    def with_their_tasks(history: History) -> Mapping[Start, list[Attempt]]:
        for runs in history.executions.values():
            for run in runs:
                run.ended_s = run.failed_s
        return attempts(history)

    patch.setattr(repeats, "attempts", with_their_tasks)


def a_hand_over_is_asked_for_in_one_term(patch: pytest.MonkeyPatch) -> None:
    """Who died before it had handed over, led again, and then handed over, was followed for nothing."""
    patch.setattr(leading, "HAND_OVER", "none")


def a_broker_remembers_all_it_delivered(patch: pytest.MonkeyPatch) -> None:
    """Poison that a broker had forgotten to have delivered was taken to have been begun too often."""
    patch.setattr(poison, "counted", lambda history, task, anew=(): in_order(history, task))


def last_attempts_are_not_waited_for(patch: pytest.MonkeyPatch) -> None:
    """A task was given up as dead in the moment in which a worker that had stood still began it."""
    patch.setattr(Mark, "open_s", lambda self, ack_wait_s, now_s: 0.0)
    every_delivery_is_new(patch)


def what_was_overtaken_is_not_known(patch: pytest.MonkeyPatch) -> None:
    """A reduction that was lost with a link came again, and was sent after orders that stood behind it."""
    patch.setattr(Gate, "newest", property(lambda self: 0, lambda self, newest: None), raising=False)


def what_came_second_says_no_more(patch: pytest.MonkeyPatch) -> None:
    """An attempt that failed for good, as somebody's result was there, told nobody that it had failed."""
    told = Written.__call__

    def untold(self: Written, op: str, kind: Any, /, **facts: Any) -> None:
        if facts.get("reason") == "already":
            facts.pop("status", None)
        told(self, op, kind, **facts)

    patch.setattr(Written, "__call__", untold)


def what_is_refused_was_never_stored(patch: pytest.MonkeyPatch) -> None:
    """A task that was stored, its answer lost, was refused when it came again, and taken for refused."""
    publish = producer.publish

    async def said_once(*args: Any, **options: Any) -> Any:
        return msgspec.structs.replace(await publish(*args, **options), tries=1)

    patch.setattr(producer, "publish", said_once)


def gathered_is_dispatched(patch: pytest.MonkeyPatch) -> None:
    """A task that it took long to have stored was taken for lost before the broker could have copied it."""
    patch.setattr(Coordinator, "_on_their_way", lambda self, tasks: None)


def every_delivery_is_new(patch: pytest.MonkeyPatch) -> None:
    """A delivery that had lain in a link gave up a task whose last attempt had begun meanwhile."""
    patch.setattr(Doubts, "has", lambda self, sequence, order, mark: False)


def a_broker_knows_who_is_at_work(patch: pytest.MonkeyPatch) -> None:
    """A broker that was started again gave a task out whose last attempt was under way: it was given up."""
    patch.setattr(WorkQueue, "_link_changed", lambda self: None)


def poison_is_tried_as_poison(patch: pytest.MonkeyPatch) -> None:
    """Poison whose attempts at an early stage a fault had failed was missed where poison kills."""
    patch.setattr(ring, "spent", lambda history: frozenset())


def clocks_agree(patch: pytest.MonkeyPatch) -> None:
    """A worker whose clock had jumped put a task off for ten minutes."""
    patch.setattr(
        Mark,
        "open_s",
        lambda self, ack_wait_s, now_s: (
            max(0.0, self.stored_s + ack_wait_s - now_s) if self.tried and self.tried.running else 0.0
        ),
    )


def a_crash_lasts_as_long_as_its_fault(patch: pytest.MonkeyPatch) -> None:
    """A hub that was killed, and led as soon as it was started again, was taken to be silent still."""
    is_silent = hub_loss._is_silent

    def without_starts(history: History, node: str, time_s: float) -> bool:
        return is_silent(dataclasses.replace(history, nodes=()), node, time_s)

    patch.setattr(hub_loss, "_is_silent", without_starts)


def whoever_is_given_up_is_poison(patch: pytest.MonkeyPatch) -> None:
    """A task was missed whose last attempt, at a peer that had ended once beside it, a crash cut off."""
    patch.setattr(mesh, "is_spent_by_a_voter", lambda history, register: False)


FOUND: Mapping[str, tuple[Before, str]] = {
    "alone_until_counted": (counted_once_others_run, "M5"),
    "deposed_and_not_told": (every_decision_is_taken_for_its_own, "U1"),
    "end_of_a_full_ingress": (the_load_ends_however_long_it_takes, "L1"),
    "failed_and_came_second": (what_came_second_says_no_more, "R3"),
    "forgotten_delivery": (a_broker_remembers_all_it_delivered, "H5"),
    "gathered_long_ago": (gathered_is_dispatched, "H1"),
    "given_up_after_a_restart": (a_broker_knows_who_is_at_work, "H5"),
    "handed_over_in_the_next_term": (a_hand_over_is_asked_for_in_one_term, "S6"),
    "heard_of_while_it_clears": (all_that_is_heard_of_meanwhile, "U1"),
    "killed_and_started_again": (a_crash_lasts_as_long_as_its_fault, "S5"),
    "last_attempt_alone": (an_attempt_ends_with_its_task, "U2"),
    "last_attempt_under_way": (last_attempts_are_not_waited_for, "H5"),
    "letter_on_its_way": (letters_are_not_waited_for, "H5"),
    "lost_tail": (heartbeats_say_nothing, "L1"),
    "older_than_the_last_attempt": (every_delivery_is_new, "H5"),
    "overtaken_reduction": (what_was_overtaken_is_not_known, "S5"),
    "poison_in_a_row": (poison_takes_no_time, "L1"),
    "poison_that_errors_struck": (poison_is_tried_as_poison, "R2"),
    "put_off_by_another_clock": (clocks_agree, "L1"),
    "refused_after_unknown": (what_is_refused_was_never_stored, "E1"),
    "snapshot_before_reread": (snapshots_at_once, "U1"),
    "struck_at_the_last_attempt": (whoever_is_given_up_is_poison, "M5"),
    "trim_without_margin": (trimmed_with_a_margin_only, "L1"),
    "trimmed_by_the_hub_before": (what_the_hub_before_trimmed_is_not_known, "L1"),
}


def simulated(name: str) -> Outcome:
    spec = load(FINDINGS / f"{name}.spec.toml")
    schedule = load_schedule(FINDINGS / f"{name}.schedule.toml", spec)
    return outcome(Plan(spec=spec, is_drawn=False, schedule=schedule), spec.seed)


@pytest.mark.parametrize("name", FOUND)
def test_it_fails_on_the_code_as_it_was_and_passes_on_the_code_as_it_is(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, check = FOUND[name]
    now = simulated(name)
    assert now.verdict == "pass", now.failed
    assert check in now.passed
    before(monkeypatch)
    then = simulated(name)
    assert check in {each.id for each in then.failed}, then


def test_every_schedule_that_was_kept_is_tried() -> None:
    assert {path.name.partition(".")[0] for path in FINDINGS.iterdir()} == set(FOUND)
