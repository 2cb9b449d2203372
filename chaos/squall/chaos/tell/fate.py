"""What became of one task, from the evidence of its run. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from squall.bus.border import printable
from squall.chaos.evidence.task import Evidence, Line
from squall.services.sentences import sentence

Fate = Literal[
    "filled", "ended", "dead", "cancelled", "rejected", "refused", "open", "unknown",
    "lost", "doubled", "conflicting", "stray", "contradicted",
]  # fmt: skip
"""What became of a task. ``ended``: it intended no order. ``rejected``: an order of it was refused with a
reason, which is for whoever wrote the handler. ``open``: the run's record stops before its end.
``unknown``: whether it was accepted, or filled, is not known. Those of the second line must never be."""

GOOD: tuple[Fate, ...] = ("filled", "ended", "cancelled", "refused")
"""What becomes of a task where all is well."""


def fate_of(evidence: Evidence) -> tuple[Fate, str]:
    """What became of a task, as the checks of effects would count it: what must never be comes first."""
    registers, fills, closed = evidence.registers, evidence.fills, evidence.closed_s is not None
    intended = {order_id for line in registers if line.status == "ok" for order_id in line.effects}
    if len(registers) > 1:
        return "doubled", f"DOUBLED: {len(registers)} registers."
    for order_id, times in fills.items():
        if len(times) > 1:
            return "doubled", f"DOUBLED: {len(times)} fills of order {order_id}."
    bodies: dict[str, set[str]] = {}
    for request in evidence.around.orders.received:
        bodies.setdefault(request.order_id, set()).add(request.body)
        if len(bodies[request.order_id]) > 1:
            return "conflicting", f"CONFLICTING: order {request.order_id} came with different bodies."
    for order_id in fills:
        if order_id not in intended and (registers or closed):
            return "stray", f"STRAY: order {order_id} was filled and no register intends it."
    if not registers:
        return _unregistered(evidence)
    if outcome_of(evidence.own) == "refused":
        return "contradicted", "CONTRADICTED: its submission was refused and it has a register."
    return _ended(evidence, registers[0])


def _unregistered(evidence: Evidence) -> tuple[Fate, str]:
    """What became of a task without a register."""
    closed = evidence.closed_s is not None
    match outcome_of(evidence.own):
        case "accepted" if closed:
            return "lost", "LOST: accepted and no register."
        case "refused":
            why = next((line.reason for line in reversed(evidence.own) if line.type == "fail"), "")
            return "refused", _sentence("refused, and nothing came of it", why)
        case "unknown" if closed:
            return "unknown", "Whether it was accepted is not known, and it has no register."
        case "accepted" | "unknown" as outcome:
            accepted = "accepted" if outcome == "accepted" else "perhaps accepted"
            return "open", f"Open: {accepted}, and the run's registers were not read back."
    return "unknown", "What became of it is not recorded."


def _ended(evidence: Evidence, register: Line) -> tuple[Fate, str]:
    """What became of a task with one register."""
    closed = evidence.closed_s is not None
    if register.status != "ok":
        fate: Fate = "dead" if register.status == "dead" else "cancelled"
        after = f"{fate} after {register.attempt} attempt{'' if register.attempt == 1 else 's'}"
        lettered = any(line.what == "dead-letter" for line in evidence.own)
        missing = "; there is NO dead letter of it" if fate == "dead" and closed and not lettered else ""
        return fate, _sentence(after, register.reason.rstrip(".") + missing)
    if not register.effects:
        return "ended", f"Ended without an order{_after_due(evidence, register.stored_s)}."
    if not evidence.around.has_venue:
        return "unknown", "It has a register; whether its orders were filled is not recorded."
    unfilled = [order_id for order_id in register.effects if order_id not in evidence.fills]
    refused = [order_id for order_id in unfilled if order_id in evidence.refusals]
    if unfilled and unfilled == refused:
        return "rejected", _sentence(f"order {refused[0]} refused", printable(evidence.refusals[refused[0]]))
    unfilled = [order_id for order_id in unfilled if order_id not in evidence.refusals]
    if unfilled and not closed:
        return "open", f"Open: order {unfilled[0]} was not filled before the run's record stops."
    if unfilled:
        return "lost", f"LOST: order {unfilled[0]} was never filled."
    filled_s = max(time_s for order_id in register.effects for time_s in evidence.fills[order_id])
    if len(register.effects) == 1:
        return "filled", f"Filled once{_after_due(evidence, filled_s)}."
    after = _after_due(evidence, filled_s)
    return "filled", f"{len(register.effects)} orders filled, each once{', the last' * bool(after)}{after}."


def _after_due(evidence: Evidence, time_s: float) -> str:
    return "" if evidence.due_s is None else f" {span(evidence.due_s, time_s)} after it was due"


def outcome_of(own: Sequence[Line]) -> Literal["accepted", "refused", "unknown"] | None:
    """All submissions taken together; None if there was none. One that was not answered is unknown."""
    lines = [line for line in own if line.op == "submit"]
    answers = {(line.node, line.inc): line.type for line in lines if line.type != "invoke"}
    asked = {(line.node, line.inc) for line in lines}
    kinds = {*answers.values(), *(["unknown"] if asked - set(answers) else [])}
    if not kinds:
        return None
    return "accepted" if "ok" in kinds else "unknown" if "unknown" in kinds else "refused"


def span(start_s: float, end_s: float) -> str:
    """How much time lies between, in milliseconds."""
    return f"{(end_s - start_s) * 1e3:,.1f} ms"


def _sentence(what: str, why: str) -> str:
    text = f"{what}: {why.rstrip('.')}" if why else what
    return sentence(text)
