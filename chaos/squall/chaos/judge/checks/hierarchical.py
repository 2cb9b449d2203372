"""What must hold of a coordinator and its workers: H1 to H7, as far as one run can show them. Pure."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from squall.chaos.evidence.facts import Count, Operation
from squall.chaos.evidence.model import History
from squall.chaos.evidence.operations import LEADING, Dispatch, Fenced, Given
from squall.chaos.judge.case import Case
from squall.chaos.judge.checks import leading
from squall.chaos.judge.checks.accounts import back_pressure, balance, one_effect
from squall.chaos.judge.checks.distribution import DISTRIBUTED, shares_alike
from squall.chaos.judge.checks.ledger import LEDGER
from squall.chaos.judge.checks.of_all import ACCOUNTED, RECOVERING
from squall.chaos.judge.checks.poison import containment
from squall.chaos.judge.checks.taking_part import TAKING_PART
from squall.chaos.judge.decide import Finding, decide, named, tasks, undrained, unexercised, unknown
from squall.chaos.judge.promise import DELIVERING, Promise, Promises, an_experiment
from squall.chaos.plan.distributed import NAME as BY_NAME
from squall.chaos.plan.distributed import distributed
from squall.chaos.plan.series import EXPERIMENT, Plan, further_runs
from squall.services.run.spec import Spec

JAIN_MIN = 0.95

WINDOW_MAX = 128
"""Of an experiment: so few that a fault of half a second fills the window; twice what agents can work on."""

TASKS_FOR_A_SHARE = 50
"""An agent's share of fewer tasks than this says nothing."""

BACK_SHARE = 0.3
"""Of the calm after the last heal: who ends a task in this time is back, and takes part in the rest."""


COUNTED_S = 5.0
"""By when a leader has counted a register, however busy it is: it reads thousands a second."""


class Job(Operation, frozen=True, kw_only=True):
    """Where a job stood in the end."""

    job: str
    opened: bool
    done: bool
    ok: Count = 0
    dead: Count = 0
    cancelled: Count = 0

    @property
    def ended(self) -> int:
        return self.ok + self.dead + self.cancelled


class Queue(Operation, frozen=True, kw_only=True):
    """The work queue in the end: task records written for it, messages that ever arrived, still in it."""

    dispatched: Count
    arrivals: Count
    left: Count


def no_loss(case: Case) -> Finding:
    """H1: one register for each accepted task, one fill for each intent, one arrival for each dispatch."""
    history = case.history
    if not history.submissions and not history.registers:
        return unknown("nothing was submitted")
    accounts, queue = balance(case, ends=len(history.of(Job))), _queue(history)
    passed = accounts.passed
    if queue is not None and (copied := queue.arrivals - queue.dispatched) > 0:
        passed += f" {tasks(copied)} copied anew by a broker that was started again, no second result."
    return decide(
        case,
        shown=[*accounts.shown, *_dispatch_differences(history)],
        inferred=accounts.inferred,
        unseen=[*accounts.unseen, *(["nothing is known of the work queue"] if queue is None else [])],
        passed=passed,
        idle=accounts.idle,
    )


def coordinator_failover(case: Case) -> Finding:
    """H4: a lost leader, and no other, is replaced in time: within the lease and two seconds.

    It loses its pen, and orphans no job.
    """
    history, kept, unreplaced = case.history, leading.kept(case), leading.unreplaced(case)
    miscounted = _miscounted(history)
    if not case.succession.takeovers and not kept and not unreplaced and not miscounted:
        if history.asked.pause_leader:
            return unknown("no failover happened")
        return unexercised(case, "no failover happened")
    late, untimed = leading.late_takeovers(case)
    jobs = history.of(Job)
    unended = named([job.job for job in jobs if not job.done], "job", "not ended")
    orphans = sorted({r.job for r in history.registers} - {job.job for job in jobs})
    return decide(
        case,
        shown=[
            *leading.deposed_batches(case),
            *([] if undrained(history) else unended),
            *named(orphans if jobs else [], "job", "registers and no line of the coordinator"),
            *named(miscounted, "job", "fewer tasks counted as ended than have a register"),
            *leading.needless(case),
            *kept,
        ],
        late=[*late, *unreplaced, *(unended if undrained(history) else [])],
        unseen=[
            *untimed,
            *leading.unwitnessed_fencing(case),
            *(["no job was opened"] if not jobs else []),
            *leading.unknown_leaders(case),
        ],
        passed=_succession(case) if case.succession.takeovers else "",
    )


def _miscounted(history: History) -> list[str]:
    """Jobs that ended without all their tasks, or cannot end, as tasks that have ended are not counted."""
    registers = Counter(register.job for register in history.registers)
    newest_s = max((register.stored_s for register in history.registers), default=0.0)
    all_counted = history.read_back_s is not None and history.read_back_s - newest_s >= COUNTED_S
    return [
        f"{job.job} ({job.ended:,} of {registers[job.job]:,})"
        for job in history.of(Job)
        if (job.done or all_counted) and job.ended < registers[job.job]
    ]


def pressing_back(case: Case) -> Finding:
    """H6: what cannot be taken is refused for good, what is taken ends, the window is never overfilled."""
    most, window = _most_open(case.history), case.history.spec.get("window_max")
    overfilled = []
    if isinstance(window, int) and most > window:
        overfilled.append(f"{tasks(most)} were open at a time, and the window holds {window:,}")
    return back_pressure(case, inferred=overfilled)  # a register that is not on record leaves its task open


def equal_shares(case: Case) -> Finding:
    """H3, its first part: while nothing disturbs them, equal workers do equal shares (Jain's index).

    In the steady state; and in the calm after the last heal, those who work again when it begins.
    """
    history = case.history
    agents = sorted({node.node for node in history.nodes if node.role == "agent"})
    steady, calm = (
        next((phase for phase in history.phases if phase.what == what), None) for what in ("steady", "calm")
    )
    if steady is None or not agents:
        return unknown("no steady state was seen")
    begun_s = steady.time_s - steady.seconds
    said, shown, unseen = _shares(history, agents, begun_s, steady.time_s, "the steady state")
    if calm is not None:
        begun_s = calm.time_s - calm.seconds
        all_back_s = begun_s + calm.seconds * BACK_SHARE
        back = {r.agent for r in history.registers if begun_s <= r.stored_s < all_back_s}
        also, unequal, few = _shares(history, sorted(back), all_back_s, calm.time_s, "the calm at the end")
        shown += unequal
        said += "" if few else f", and {also}"
    if unseen and not shown:
        return unexercised(case, unseen[0])
    return decide(case, late=shown, unseen=unseen, passed=f"{said}; the bound is {JAIN_MIN}.")


def _shares(
    history: History, agents: Sequence[str], begun_s: float, ended_s: float, when: str
) -> tuple[str, list[str], list[str]]:
    """How equally some agents shared the tasks of a time, what is wrong with it, and why it tells nothing."""
    shares = Counter(r.agent for r in history.registers if begun_s <= r.stored_s < ended_s)
    done = sum(shares[agent] for agent in agents)
    index = jain([shares[agent] for agent in agents])
    said = f"{len(agents)} agents shared {tasks(done)} of {when} with Jain's index {index:.3f}"
    if done < TASKS_FOR_A_SHARE * len(agents):
        return said, [], [f"{tasks(done)} are too few to speak of shares"]
    return said, [f"{said}, the bound is {JAIN_MIN}"] if index < JAIN_MIN else [], []


def jain(shares: Sequence[int]) -> float:
    """Jain's fairness index: 1 when all have the same, 1/n when one has everything; 0 of nothing.

    Source: R. Jain, D. Chiu, W. Hawe, A Quantitative Measure of Fairness (DEC-TR-301, 1984).
    """
    squares = len(shares) * sum(share * share for share in shares)
    return sum(shares) ** 2 / squares if squares else 0.0


def runs(spec: Spec, seed: int) -> Sequence[Plan]:
    """Those that a pattern with a leader has, and one in which tasks are given out by name."""
    return *further_runs(spec, seed), distributed(spec, seed)


PROMISES = Promises(
    pattern="hierarchical",
    promises=(
        Promise(
            id="H1",
            name="no-loss",
            text="Each accepted task has one register, each intent one fill, each dispatch one arrival.",
            check=no_loss,
        ),
        Promise(
            id="H2",
            name="one-effect",
            text="Nothing is filled twice, without intent, or with two bodies.",
            check=one_effect,
            exercised="duplicates_suppressed",
        ),
        Promise(
            id="H3",
            name="balance",
            text="In the steady state, equal agents do equal shares.",
            check=equal_shares,
            when=lambda history: an_experiment(history) and shares_alike(history),
            sometimes=True,
        ),
        Promise(
            id="H4",
            name="coordinator-failover",
            text="A lost leader, and no other, is followed in time; it writes nothing more; no job is left.",
            check=coordinator_failover,
            sometimes=True,
        ),
        Promise(
            id="H5",
            name="poison-containment",
            text="Nothing but poison is dead-lettered, and poison after exactly its attempts.",
            check=containment,
            shown_by="poison",
        ),
        Promise(
            id="H6",
            name="back-pressure",
            text="What is refused never runs, what is accepted ends, no more is open than the window holds.",
            check=pressing_back,
            when=an_experiment,
            sometimes=True,
        ),
        replace(DISTRIBUTED, shown_by=BY_NAME),
        LEDGER,
        *RECOVERING,
        TAKING_PART,
        *ACCOUNTED,
    ),
    operations={**LEADING, "given": Given, "dispatch": Dispatch, "final/job": Job, "final/queue": Queue},
    batches=Dispatch,
    to_an_effect=(
        "coordinator.gathered",
        "coordinator.dispatched",
        "agent.delivered",
        "agent.executed",
        "agent.committed",
        *DELIVERING,
    ),
    experiment={**EXPERIMENT, "pause_leader": False, "window_max": WINDOW_MAX},
    runs=runs,
)


# What H1, H4 and H6 look at.


def _queue(history: History) -> Queue | None:
    return next(iter(history.of(Queue)[-1:]), None)


def _dispatch_differences(history: History) -> list[str]:
    """As many messages arrived as were dispatched, and no line tells of more.

    A broker that was started again on its store may copy anew what it had copied into a queue that is empty
    by then (seen with nats-server 2.15.1 after SIGKILL: 165 records whose tasks had ended). Such a copy is
    a repeat like any other, and the register refuses its result. It can copy no more than was dispatched by
    then.

    Lines may tell of fewer: a leader can die, or be followed, between storing a batch and saying so. Until
    all has drained, the coordinator's own count lags behind and says nothing.
    """
    queue = _queue(history)
    if queue is None or undrained(history):
        return []
    lines = sum(dispatch.tasks for dispatch in history.of(Dispatch))
    different = []
    if not queue.dispatched <= queue.arrivals <= queue.dispatched + _copied_at_most(history):
        different.append(f"{queue.dispatched:,} dispatch records and {queue.arrivals:,} arrivals")
    if lines > queue.dispatched:
        different.append(f"lines tell of {lines:,} dispatches and the broker of {queue.dispatched:,}")
    return different


def _most_open(history: History) -> int:
    """How many tasks were dispatched and had no register yet, at most.

    A leader tells of a batch after the broker has stored it, so this is never told too high.
    """
    moves = [(dispatch.time_s, dispatch.tasks - dispatch.again) for dispatch in history.of(Dispatch)]
    moves += [(register.stored_s, -1) for register in history.registers]
    return max(itertools.accumulate((change for _, change in sorted(moves)), initial=0))


def _copied_at_most(history: History) -> int:
    """How many dispatches a broker may have copied anew, each time that it was started again."""
    restarts = [n.started_s for n in history.nodes if n.role == "broker" and n.incarnation > 1]
    return sum(
        dispatch.tasks
        for started_s in restarts
        for dispatch in history.of(Dispatch)
        if dispatch.time_s <= started_s
    )


def _succession(case: Case) -> str:
    """What a good failover looked like."""
    changes = case.succession.takeovers
    carried = sum(
        any(
            change.next.term > register.term and change.next.time_s <= register.stored_s for change in changes
        )
        for register in case.history.registers
    )
    crossed = f"{tasks(carried)} dispatched before a takeover ended after it"
    if not carried:
        crossed = "no dispatched task was open at a takeover"
    refused = f"refused writes of deposed leaders: {len(case.history.of(Fenced)):,}"
    ended = f"{len(case.history.of(Job))} jobs ended"
    return f"{leading.slowest_takeover(case)}; {ended}; {refused}; {crossed}."
