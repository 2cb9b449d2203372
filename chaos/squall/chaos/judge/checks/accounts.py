"""What must balance whatever the pattern: accepted tasks, registers, intents and fills. Pure.

Each pattern promises it under an id of its own, and adds what its own way of handing work out tells.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from squall.bus.border import printable
from squall.chaos.evidence.model import History
from squall.chaos.judge.case import Case
from squall.chaos.judge.decide import Finding, decide, named, some, tasks, undrained, unexercised, unknown
from squall.chaos.judge.tally import Tally

UNKNOWN_SHARE_MAX = 0.01
"""Share of the offers whose outcome may be unknown; one may be in any case."""


@dataclass(frozen=True, slots=True)
class Balance:
    """What is wrong with the accounts of a run, and what is not known of them; see `decide`.

    Attributes:
        idle: Where no order was intended, so that none could be lost or filled twice, in words.
    """

    shown: list[str] = field(default_factory=list)
    inferred: list[str] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)
    passed: str = ""
    idle: str = ""

    def __add__(self, other: Balance) -> Balance:
        """What is wrong with either."""
        return Balance(
            shown=[*self.shown, *(said for said in other.shown if said not in self.shown)],
            inferred=[*self.inferred, *(said for said in other.inferred if said not in self.inferred)],
            unseen=[*self.unseen, *other.unseen],
            passed=" ".join(filter(None, (self.passed, other.passed))),
            idle=self.idle or other.idle,
        )

    def decided(self, case: Case) -> Finding:
        """The verdict that follows."""
        return decide(
            case,
            shown=self.shown,
            inferred=self.inferred,
            unseen=self.unseen,
            passed=self.passed,
            idle=self.idle,
        )


def balance(
    case: Case, *, own: Collection[str] = (), ends: int = 0, without: Collection[str] = ()
) -> Balance:
    """One register for each accepted task, one fill for each intent.

    An intent that was refused for a reason that is written down is not lost: it is named with the reason.
    Where nothing at all was filled, it is not known what a fill would have come to, unless each intent was
    refused, and was no order when its handler returned it.

    An offer whose outcome is unknown may have a register or not, so a loss among them does not show: more
    than one, and more than a hundredth of all, leave the verdict unknown. Of those that a dying producer left
    behind, and the next one was refused, no more count than the broker took beyond what was accepted. And
    fewer offers than the spec asks for leave it unknown, in a run that nobody interrupted: the producer ended
    early.

    Args:
        own: Tasks that nobody submitted, because the swarm sets them itself.
        ends: Records that the producer may have submitted beside its tasks: ends of jobs.
        without: Consumers that had nothing to deliver in the end, so that they may be gone.
    """
    history, counted = case.history, case.tally
    found = Balance(
        shown=[
            *named(counted.repeated, "task", "more than one register"),
            *named(counted.refused, "task", "a register though the submission was refused"),
            *named(counted.shared, "order", "two registers that intend it"),
            *named(counted.doubled, "intent", "more than one fill"),
            *named(counted.refused_filled, "refused order", "a fill"),
            *_refused_though_ordered(case),
            *named(_abandoned(history), "task", "been begun by a producer that ended, and not by the next"),
            *named(history.registers_damaged, "register", "no record in it"),
            *_left(history),
        ],
        inferred=[
            *_losses(counted),
            *(named(counted.unfilled, "intent", "no fill") if history.venue is not None else ()),
            *named(counted.refused_unbooked, "rejected order", "no line of it in the venue's books"),
            *named(counted.refused_untold, "rejected order", "no line of the gateway"),
            *named([t for t in counted.unasked if t not in own], "task", "a register and no submission"),
        ],
        passed=(
            f"{len(counted.accepted):,} tasks accepted, each with one register; "
            f"{len(counted.intents):,} intents, {_filled(counted)}."
        ),
        idle=nothing_intended(counted),
    )
    if history.unwitnessed and counted.intents:
        found.unseen.append(history.unwitnessed)
    asked, offered = history.asked.tasks, len(history.submissions)
    if asked is not None and offered < asked and not (history.closing and history.closing.interrupted):
        found.unseen.append(f"{offered:,} of the {asked:,} tasks asked for were offered")
    uncertain = sum(offer.outcome == "unknown" for offer in history.submissions.values())
    if not counted.accepted:
        found.unseen.append("nothing was accepted")
    hidden = _hidden(history, len(counted.accepted), uncertain)
    if hidden > max(1, UNKNOWN_SHARE_MAX * offered):
        found.unseen.append(f"of {tasks(hidden)} it is not known whether they were accepted")
    found.unseen.extend(_uncounted_offers(history, len(counted.accepted), uncertain, ends))
    found.unseen.extend(
        f"the consumer {name} was gone in the end" for name in history.gone if name not in without
    )
    if (
        counted.refused_effects
        and not history.unwitnessed
        and not counted.effects
        and not _is_each_refused(case)
    ):
        found.unseen.append(f"nothing was filled, {_refused_effects(counted)}")
    return found


def one_effect(case: Case) -> Finding:
    """No intent is filled twice, nothing is filled that no register intends, no order has two bodies."""
    venue = case.history.venue
    if venue is None:
        idle = nothing_intended(case.tally) if case.history.unwitnessed else ""
        why = case.history.unwitnessed or "there is no database of the venue"
        return unexercised(case, idle) if idle else unknown(why, "what was filled is not known")
    if not venue.fills:
        idle = nothing_intended(case.tally)
        if idle or not _is_each_refused(case):
            return unexercised(case, idle) if idle else unknown("nothing was filled")
    return effects(case).decided(case)


def nothing_intended(counted: Tally) -> str:
    """That no task came to an order, in words; empty if one did, or none came to an end."""
    if counted.intents or not counted.registers:
        return ""
    if counted.nowhere:
        return "effects are carried out nowhere, so none was to be"
    return f"none of {tasks(len(counted.registers))} that ended intended an order, so none was to be filled"


def _is_each_refused(case: Case) -> bool:
    """Whether each intent was refused with a reason, and had been no order when its handler returned it.

    The second is the word of the agent, which told it before anybody else had a hand in it. So nobody passes
    who spoils all orders on their way.
    """
    returned = {each.order_id for each in case.history.mistakes if each.what == "order"}
    intents = case.tally.intents
    return bool(intents) and all(each in returned and each in case.tally.refused_effects for each in intents)


def effects(case: Case) -> Balance:
    """What is wrong with the fills; see `one_effect`."""
    venue, counted = case.history.venue, case.tally
    filled = f"{counted.effects:,} intents filled, each once"
    if not counted.effects and _is_each_refused(case):
        filled = f"None of {len(counted.intents):,} intents filled, {_refused_effects(counted)}"
    return Balance(
        shown=[
            *named(counted.doubled, "intent", "more than one fill"),
            *named(venue.conflicting if venue is not None else (), "order", "two different bodies"),
        ],
        inferred=named(counted.stray, "order", "a fill and no register that intends it"),
        unseen=[]
        if (venue is not None and venue.fills) or _is_each_refused(case) or nothing_intended(counted)
        else [case.history.unwitnessed or "nothing was filled"],
        passed=f"{filled}; {case.history.suppressed:,} repeated commits refused.",
    )


def back_pressure(case: Case, *, inferred: Sequence[str] = ()) -> Finding:
    """What could not be taken was refused, openly and for good; what was taken ended.

    Args:
        inferred: What a pattern finds to be wrong with its own bounds, if all lines are there.
    """
    history, counted = case.history, case.tally
    refused = [task for task, offer in history.submissions.items() if offer.outcome == "refused"]
    if not refused and not inferred:
        return unexercised(case, "nothing was refused, so nothing pressed back")
    return decide(
        case,
        shown=named(counted.refused, "refused task", "a register"),
        inferred=[
            *inferred,
            *([f"{tasks(len(counted.lost))} accepted under pressure and lost"] if counted.lost else []),
        ],
        passed=f"{len(refused):,} of {len(history.submissions):,} offers refused, and none of them ran; "
        f"all {len(counted.accepted):,} accepted ones ended.",
    )


def _refused_though_ordered(case: Case) -> list[str]:
    """Effects that the venue refused as no orders, though what the handler had returned was one.

    Somebody on the way changed them. Where nobody told what handlers return, nothing is known of it.
    """
    if not case.history.tells_of or case.history.is_outside:  # who takes what it likes
        return []
    booked = case.history.venue.refusals if case.history.venue is not None else {}
    returned = {each.order_id for each in case.history.mistakes if each.what == "order"}
    changed = [order_id for order_id in case.tally.refused_effects if order_id in {*booked} - returned]
    return named(changed, "order", "been refused, though its handler returned it as one")


def _abandoned(history: History) -> list[str]:
    """Tasks of which a producer did not live to hear, and that the next one passed over."""
    return [task for task, offer in history.submissions.items() if offer.is_abandoned]


def _hidden(history: History, accepted: int, uncertain: int) -> int:
    """How many tasks may have been accepted that nobody knows of."""
    cut_short = sum(
        offer.outcome == "unknown" and offer.is_cut_short for offer in history.submissions.values()
    )
    if history.stored is None:
        return uncertain
    return uncertain - cut_short + min(cut_short, max(0, history.stored - accepted))


def _uncounted_offers(history: History, accepted: int, uncertain: int, ends: int) -> list[str]:
    """Whether the broker took as many submissions as were told of."""
    if history.stored is None or accepted <= history.stored <= accepted + uncertain + ends:
        return []
    return [f"the broker took {history.stored:,} records and {accepted:,} acceptances are told of"]


def _left(history: History) -> list[str]:
    """What is still to be done after everything had ended, by the broker's own count."""
    if undrained(history):
        return []
    left = [
        f"{tasks(at.pending + at.held)} left in {at.stream} for {at.consumer}"
        for at in history.left
        if at.pending or at.held
    ] + [
        f"{at.messages:,} records left in {at.stream}{at.subjects and f' under {at.subjects}'}"
        for at in history.kept
        if at.messages
    ]
    return [f"{what} after all had ended" for what in left]


def _losses(counted: Tally) -> list[str]:
    """Lost tasks, split by where they stand among those that survived.

    Source: Jepsen's checkers split losses so; a lost head, middle or tail each points at another defect.
    """
    if not counted.lost:
        return []
    lost = set(counted.lost)
    survived = [place for place, task in enumerate(counted.accepted) if task not in lost]
    first, last = (survived[0], survived[-1]) if survived else (len(counted.accepted), -1)
    places = [place for place, task in enumerate(counted.accepted) if task in lost]
    head = sum(place < first for place in places)
    tail = sum(place > last for place in places) if survived else 0
    middle = len(places) - head - tail
    split = f"{head} head, {middle} middle, {tail} tail"
    return [f"{tasks(len(counted.lost))} lost ({split}): {some(counted.lost)}"]


def _filled(counted: Tally) -> str:
    if not counted.refused_effects:
        return "each filled once"
    filled = f"{counted.effects:,} filled once" if counted.effects else "none filled"
    return f"{filled}, {_refused_effects(counted)}"


def _refused_effects(counted: Tally) -> str:
    """``2 refused with a reason, the first a-1-0: price is missing``; of at least one."""
    order_id, reason = next(iter(counted.refused_effects.items()))
    count = len(counted.refused_effects)
    return f"{count:,} refused with a reason, the first {order_id}: {printable(reason).rstrip('.')}"
