"""What a run's handler did wrong, so that nobody takes it for the swarm's doing, or the reverse. Pure.

    a dead register   is the handler's, if its agent told of each attempt before the register was written
    a refused effect  if its agent told that the handler returned no order
    a process's end   if the operating system says that it ended as no node of ours does

What a register says is its writer's word. A dead one is believed to be the handler's doing only where the
line of each attempt that was begun says so too, written beside the work queue before it could know; or where
each attempt took its agent's process with it. Runs of before there were such lines excuse nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from squall.bus.work_queue import WORKERS_DIED
from squall.chaos.evidence.facts import Mistake, Register
from squall.chaos.evidence.lives import Start
from squall.chaos.evidence.model import Execution, History
from squall.chaos.judge.disturbance import START_S, is_struck
from squall.chaos.plan.surface import BROKER
from squall.services.patterns.pattern import AGENT
from squall.services.run.spec import is_own

NODES_OWN_STATUSES = (1, 70, 71, 72)
"""With which a node of ours ends that does not end well; see `squall.services.node`."""

SENT_SIGNALS = (-2, -9, -15)
"""What anybody may send a process: of a node that one of these ended, nothing follows."""

HELD_UP = "its handler held up its loop"
"""Why an agent was ended, by the word of whoever ended it."""


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
    well = set()
    for register in history.registers:
        runs = sorted(history.executions.get(register.task, ()), key=lambda run: run.time_s)
        if register.status == "ok":
            well.add(register.task)
        elif register.status == "dead" and register.reason == WORKERS_DIED:
            if end := _killed(history, register.task, runs, told):
                killed[register.task] = end
        elif register.status == "dead" and (mistake := _failed(history, register, runs, told)):
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


Attempt = tuple[str, str, int, int]
"""A task, the node and the start of it that made an attempt, and which attempt."""


def _failed(
    history: History, register: Register, runs: Sequence[Execution], told: Mapping[Attempt, Mistake]
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
        if mistake is None and not _was_cut_off(history, run, following.time_s):
            return None
    begun = {run.attempt for run in runs}
    return last if len(begun) >= attempts or _was_disturbed(history) else None


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


def _killed(history: History, task: str, runs: Sequence[Execution], told: Mapping[Attempt, Mistake]) -> str:
    """How a task ended the last agent that ran it, in words, if no attempt of it came to a good end.

    The last attempt must have run alone, as it does where there is more than one: or it may have been any of
    its neighbours'.
    """
    attempts = history.asked.attempts
    if not runs or attempts is None or len(runs) > attempts:
        return ""
    for run, following in itertools.pairwise(runs):
        failed = (task, run.node, run.incarnation, run.attempt) in told
        if not failed and not _was_cut_off(history, run, following.time_s):
            return ""
    who = (runs[-1].node, runs[-1].incarnation)
    held = history.lives.in_hand.get(who, frozenset())
    is_alone = held == {task} or (attempts == 1 and task in held)
    return end_of(history, who) if is_alone else ""


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
