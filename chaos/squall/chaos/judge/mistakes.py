"""What a run's handler did wrong, so that nobody takes it for the swarm's doing, or the reverse. Pure.

    a dead register   is the handler's, if its agent told of each attempt before the register was written
    a refused effect  if its agent told that the handler returned no order
    a process's end   if the operating system says that it ended as no node of ours does
    a repeat          if the agent tells that its handler held up its loop, so that nobody heard of the task

What a register says is its writer's word. A dead one is believed to be the handler's doing only where the
line of each attempt that was begun says so too, written beside the work queue before it could know; or where
each attempt took its agent's process with it. Runs of before there were such lines excuse nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from squall.bus.ended import WORKERS_DIED
from squall.chaos.evidence.facts import Mistake, Register
from squall.chaos.evidence.lives import Start
from squall.chaos.evidence.model import Execution, History
from squall.chaos.judge.disturbance import START_S, is_struck
from squall.chaos.plan.poison import is_poisoned
from squall.chaos.plan.surface import BROKER
from squall.services.patterns.pattern import AGENT
from squall.services.run.spec import is_own

NODES_OWN_STATUSES = (1, 70, 71, 72)
"""With which a node of ours ends that does not end well; see `squall.services.node`."""

SENT_SIGNALS = (-2, -9, -15)
"""What anybody may send a process: of a node that one of these ended, nothing follows."""

HELD_UP = "its handler held up its loop"
"""Why an agent was ended, by the word of whoever ended it."""

HELD_FOR_ALL = "held up its agents until all attempts were spent"
"""What it did to a task that was given up, as nobody was heard of that had it."""

HELD_SHARE = 0.5
"""For which share of an ack wait a loop must be held up, so that a delivery again is the handler's doing. An
agent tells the broker three times an ack wait what it works on, so two thirds are enough to miss one; the
rest is for what is noticed late, as the loop is looked at ten times a second. Lower excuses more."""

LATE_S = 0.5
"""How long after the ack wait a task may be delivered again, and begun."""


@dataclass(frozen=True, slots=True)
class Mistakes:
    """What the handler of a run did wrong.

    Attributes:
        ended: By task, the mistake that its dead register tells of.
        killed: By task that is dead as no attempt came to an end, what became of the last agent that ran it.
        given_up: Of those that ended, the ones that the handler itself gave up by `PoisonError`.
        refused: By order id, an effect that was returned though it is no order, and so was refused.
        again: How many attempts failed of tasks that ended well.
    """

    ended: Mapping[str, Mistake] = field(default_factory=dict)
    killed: Mapping[str, str] = field(default_factory=dict)
    given_up: Mapping[str, Mistake] = field(default_factory=dict)
    refused: Mapping[str, Mistake] = field(default_factory=dict)
    again: int = 0

    @property
    def dead(self) -> frozenset[str]:
        """The tasks that are dead by the handler's doing."""
        return frozenset((*self.ended, *self.given_up, *self.killed))


class HoldUps:
    """When the handler of a run held up the loops of its agents; never, where it was none of its user's."""

    def __init__(self, history: History) -> None:
        self._enough_s = HELD_SHARE * (history.asked.ack_wait_s or 0.0)
        spans: dict[Start, list[tuple[float, float]]] = {}
        for held in sorted(history.held_up if is_told(history) else (), key=lambda held: held.since_s):
            merged = spans.setdefault((held.node, held.incarnation), [])
            if merged and held.since_s <= merged[-1][1]:  # told of before it was over, and again then
                merged[-1] = merged[-1][0], max(merged[-1][1], held.time_s)
            else:
                merged.append((held.since_s, held.time_s))
        self._spans = spans
        self._before_s = (history.asked.ack_wait_s or 0.0) + LATE_S

    def excuse(self, who: Start, since_s: float, until_s: float) -> bool:
        """Whether a start of an agent was held up for so long in between that the broker heard nothing of it.

        Args:
            since_s: When a task was begun, which may have been delivered an ack wait before.
        """
        since_s -= self._before_s
        held_s = sum(
            max(0.0, min(end_s, until_s) - max(start_s, since_s))
            for start_s, end_s in self._spans.get(who, ())
        )
        return held_s > 0.0 and held_s >= self._enough_s

    def excuse_repeat(self, before: Execution, again: Execution) -> bool:
        """Whether a task was begun again as one of both agents was held up.

        The first told nobody that it worked on it, or the second had been given it before and did not begin.
        """
        return any(
            self.excuse((run.node, run.incarnation), before.time_s, again.time_s) for run in (before, again)
        )

    def repeats(self, runs: Sequence[Execution]) -> int:
        """How many of a task's attempts, in order of time, were begun only as agents were held up."""
        return sum(itertools.starmap(self.excuse_repeat, itertools.pairwise(runs)))

    def excuse_any(self, since_s: float, until_s: float) -> bool:
        """The same of any start of any agent, where nobody tells to whom a task was delivered."""
        return any(self.excuse(who, since_s, until_s) for who in self._spans)


def is_told(history: History) -> bool:
    """Whether a run had a handler of its user's own, and its agents told what that did wrong."""
    return bool(history.tells_of) and is_own(history.tells_of)


def mistakes(history: History, refused: Mapping[str, str]) -> Mistakes:
    """What the handler did wrong; nothing where it was none of its user's, or nobody told.

    Args:
        refused: The effects that were refused, by order id.
    """
    if not is_told(history):
        return Mistakes()
    told = {
        (each.task, each.node, each.incarnation, each.attempt): each
        for each in history.mistakes
        if each.what != "order"
    }
    ended: dict[str, Mistake] = {}
    given_up: dict[str, Mistake] = {}
    killed: dict[str, str] = {}
    well, hold_ups = set(), HoldUps(history)
    for register in history.registers:
        if register.status == "ok":
            well.add(register.task)
        for seen, runs in _views(history, register) if register.status == "dead" else ():
            if register.reason == WORKERS_DIED:
                if end := _killed(history, hold_ups, seen, runs, told):
                    killed[register.task] = end
            elif mistake := _failed(history, hold_ups, seen, runs, told):
                (given_up if mistake.what == "gave-up" else ended)[register.task] = mistake
    return Mistakes(
        ended=ended,
        killed=killed,
        given_up=given_up,
        refused={
            each.order_id: each
            for each in history.mistakes
            if each.what == "order" and each.order_id in refused
        },
        again=sum(each.task in well for each in told.values()),
    )


def in_order(history: History, task: str) -> list[Execution]:
    """The attempts at a task that were begun, in order of time; where it made laps, those in its last."""
    return [*by_lap(history, task).values()][-1] if task in history.executions else []


def by_lap(history: History, task: str) -> Mapping[int, list[Execution]]:
    """The attempts at a task in each lap that it made, in order of time; all in one where there are none."""
    found: dict[int, list[Execution]] = {}
    for run in sorted(history.executions.get(task, ()), key=lambda run: (run.lap, run.time_s)):
        found.setdefault(run.lap, []).append(run)
    return found


SEEN_S = 1.0
"""Until it is seen that a consumer was made anew."""


def counted(history: History, task: str, anew: Collection[tuple[str, float]] = ()) -> list[Execution]:
    """The attempts at a task in order of time, but for those that the broker may have forgotten.

    The first is counted by its delivery alone. A broker that comes back may not know that there was one: then
    the next attempt has the number of the one before it. So it is if what an agent pulls from was made anew.

    Args:
        anew: The agents whose consumer was made anew, and when.
    """
    brokers = [start.started_s for start in history.nodes if start.node == BROKER and start.incarnation > 1]
    runs = in_order(history, task)

    def may_be_forgotten(run: Execution, again: Execution) -> bool:
        return any(run.time_s - START_S <= started_s <= again.time_s for started_s in brokers) or any(
            node == again.node and run.time_s <= made_s <= again.time_s + SEEN_S for node, made_s in anew
        )

    return [
        run
        for run, again in itertools.zip_longest(runs, runs[1:])
        if again is None or again.attempt != run.attempt or not may_be_forgotten(run, again)
    ]


def _views(history: History, register: Register) -> list[tuple[Register, Sequence[Execution]]]:
    """A dead register and the attempts that it tells of.

    Where agents vote, each makes attempts of its own, and what one of them came to was what they agreed on:
    then there is a view for each.
    """
    by_agent: dict[str, list[Execution]] = {}
    for run in sorted(history.considered.get(register.task, ()), key=lambda run: run.time_s):
        by_agent.setdefault(run.node, []).append(run)
    if not by_agent:
        return [(register, in_order(history, register.task))]
    return [
        (replace(register, agent=agent, attempt=runs[-1].attempt), runs) for agent, runs in by_agent.items()
    ]


Attempt = tuple[str, str, int, int]
"""A task, the node and the start of it that made an attempt, and which attempt."""


def _failed(
    history: History,
    hold_ups: HoldUps,
    register: Register,
    runs: Sequence[Execution],
    told: Mapping[Attempt, Mistake],
) -> Mistake | None:
    """The mistake that a dead register tells of, if that is what all attempts came to."""
    mine = [told.get((register.task, run.node, run.incarnation, run.attempt)) for run in runs]
    last = next(
        (
            mistake
            for run, mistake in zip(runs, mine, strict=True)
            if mistake is not None
            and (run.node, run.attempt, mistake.reason) == (register.agent, register.attempt, register.reason)
        ),
        None,
    )
    if last is None or last.is_final:
        return last
    attempts = history.asked.attempts
    if attempts is None or register.attempt != attempts:
        return None
    for (run, following), mistake in zip(itertools.pairwise(runs), mine, strict=False):
        cut_off = hold_ups.excuse_repeat(run, following) or _was_cut_off(history, run, following.time_s)
        if mistake is None and not cut_off:
            return None
    begun = {run.attempt for run in runs}
    held_up = hold_ups.excuse_any(runs[0].time_s, register.stored_s)
    return last if len(begun) >= attempts or held_up or _was_disturbed(history) else None


def is_spent(history: History, register: Register) -> bool:
    """Whether all attempts at a dead task were begun, and failed or were cut off by a fault, the last one so.

    Then it is dead by nobody's mistake: so many attempts it was to have. The first is counted by its
    delivery, so one that a dying agent had not begun counts as well; and a later one before it is begun, so
    that a fault may strike in between. Where there is poison, an attempt before the last may have ended with
    its agent, which a neighbour killed; the last is made alone.
    """
    attempts, runs = history.asked.attempts, counted(history, register.task)
    if register.reason != WORKERS_DIED or register.attempt != attempts:
        return False
    agents = {start.node for start in history.nodes if start.role == AGENT}
    return _are_spent(history, register, runs, agents)


def is_spent_by_a_voter(history: History, register: Register) -> bool:
    """Whether agents voted that a task is dead, and one had spent its own attempts, as `is_spent` has it.

    The others follow it after one death at which the task was there. What an agent began by its first start
    is not counted among its attempts, so these are the ones from the last that is a first.
    """
    if register.reason != WORKERS_DIED:
        return False
    for view, runs in _views(history, register):
        firsts = [place for place, run in enumerate(runs) if run.attempt == 1]
        if _are_spent(history, view, runs[max(firsts, default=0) :], {view.agent}):
            return True
    return False


def _are_spent(
    history: History, register: Register, runs: Sequence[Execution], agents: Collection[str]
) -> bool:
    """Whether these attempts were all there were to be; `agents` are those that may have had the next one."""
    attempts = history.asked.attempts
    if attempts is None or not runs:
        return False
    numbers = [run.attempt for run in runs]
    until_s = [*(run.time_s for run in runs[1:]), register.stored_s]
    ends = [*zip(runs, until_s, strict=True)]
    cuts = _was_cut_off if is_poisoned(history.asked.handler) else _was_struck
    if numbers == [*range(1, attempts)]:
        is_last_struck = _was_struck_unbegun(history, runs[-1], register, agents)
    elif numbers in ([*range(1, attempts + 1)], [*range(2, attempts + 1)]):
        is_last_struck = _was_struck(history, *ends.pop())
    else:
        return False
    return is_last_struck and all(
        run.failed_s is not None or cuts(history, run, end_s) for run, end_s in ends
    )


def _was_struck(history: History, run: Execution, until_s: float) -> bool:
    return is_struck(history, run.node, run.time_s, until_s)


def _was_struck_unbegun(
    history: History, before: Execution, register: Register, agents: Collection[str]
) -> bool:
    """Whether an agent or the broker was struck after an attempt had ended, and before its task was dead.

    The next attempt may have been counted by then, and not begun.
    """
    again = [s.started_s for s in history.nodes if s.node == before.node and s.started_s > before.time_s]
    ended_s = min(again, default=register.stored_s) if before.failed_s is None else before.failed_s
    return any(
        fault.node in (*agents, BROKER) and ended_s <= fault.start_s <= register.stored_s
        for fault in history.faults
    )


def _was_cut_off(history: History, run: Execution, until_s: float) -> bool:
    """Whether an attempt could not come to its end: its agent ended, or was struck, or the broker was."""
    ended = run.node in history.lives.expelled or any(
        start.node == run.node
        and start.incarnation > run.incarnation
        and start.started_s <= until_s + START_S
        for start in history.nodes
    )
    return ended or is_struck(history, run.node, run.time_s, until_s)


def _was_disturbed(history: History) -> bool:
    """Whether anything happened for which an attempt may be counted that nobody came to begin."""
    agents = {start.node for start in history.nodes if start.role == AGENT}
    again = any(start.role == AGENT and start.incarnation > 1 for start in history.nodes)
    return again or any(fault.node in agents or fault.node == BROKER for fault in history.faults)


def _killed(
    history: History,
    hold_ups: HoldUps,
    register: Register,
    runs: Sequence[Execution],
    told: Mapping[Attempt, Mistake],
) -> str:
    """How a task ended, or held up, the last agent that ran it, in words, if no attempt of it ended well.

    The last attempt must have run alone, as it does where there is more than one: or it may have been any of
    its neighbours'.
    """
    task, attempts = register.task, history.asked.attempts
    # Who votes has no delivery that would tell it that its first attempt was one.
    uncounted = 1 if history.considered else 0
    if not runs or attempts is None or len(runs) - hold_ups.repeats(runs) > attempts + uncounted:
        return ""
    for run, following in itertools.pairwise(runs):
        failed = (task, run.node, run.incarnation, run.attempt) in told
        cut_off = hold_ups.excuse_repeat(run, following) or _was_cut_off(history, run, following.time_s)
        if not failed and not cut_off:
            return ""
    who = (runs[-1].node, runs[-1].incarnation)
    held = history.lives.in_hand.get(who, frozenset())
    is_alone = held == {task} or (attempts == 1 and task in held)
    if end := end_of(history, who) if is_alone else "":
        return end
    return HELD_FOR_ALL if hold_ups.excuse(who, runs[-1].time_s, register.stored_s) else ""


def end_of(history: History, who: Start) -> str:
    """How a start of an agent was ended by what it had in hand, in words; empty if nothing says so."""
    if not history.lives.in_hand.get(who):
        return ""
    reason, status = history.lives.reasons.get(who, ""), history.lives.statuses.get(who)
    if reason.startswith(HELD_UP):
        return f"{reason.removeprefix('its handler ')}, and was ended; its log says where it stood"
    if status is None or status in NODES_OWN_STATUSES or status in SENT_SIGNALS:
        return ""
    how = f"signal {-status}" if status < 0 else f"status {status}"
    return f"ended its agent's process with {how}"
