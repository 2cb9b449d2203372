"""Builds run directories of star by hand: a good one, to be doctored.

Two spokes and a gateway. The first hub stands still and is followed; then both do for so long that everybody
is degraded, and the first takes over again. The bound is 10 units: one order is cut, and one asks in degraded
mode.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
from tests.unit.histories import Row, Run, T, case_in

from squall.chaos.judge.case import Case
from squall.services.handlers import effect_id
from squall.services.patterns.star import StarSpec, owners
from squall.services.rules.exposure import Ruling, rule
from squall.services.trading.orders import Order, Side

BOUND = 10
CLASS = {spoke: kind for kind, spoke in reversed(owners(StarSpec(agents=2)).items())}
"""One class of each spoke."""

TERMS = {1: "hub-1", 20: "hub-2", 40: "hub-1"}
ASKED: list[tuple[int, int, float, str, str, Side, int, bool]] = [
    # the request's place, its decision's, when, who asks, for which task, side, quantity, reduce-only
    (4, 8, 1.0, "agent-1", "a-1", "buy", 4, False),
    (5, 9, 1.0, "agent-1", "a-2", "buy", 4, False),
    (6, 10, 1.0, "agent-1", "a-3", "buy", 4, False),
    (11, 24, 2.6, "agent-2", "b-1", "sell", 2, False),
    (12, 25, 2.6, "agent-1", "a-4", "buy", 1, False),
    (30, 44, 13.3, "agent-2", "b-2", "sell", 3, True),
]
DECIDED_S = {1: 1.1, 20: 3.3, 40: 14.5}


def effect(task: str, side: Side, quantity: int) -> bytes:
    return msgspec.json.encode(
        Order(account=task[0], symbol="wti", n=1, side=side, quantity=quantity, price=7.5)
    )


class StarRun(Run):
    """A run of star that is still to be written."""

    def written(self, path: Path) -> Path:
        """Write it; the venue's rows say what the decisions do, unless an order is in ``rows_differ``."""
        super().write(path)
        decided = [row for row in self.rows if row.get("what") == "decision"]
        with closing(sqlite3.connect(path / "venue.sqlite")) as database, database:
            for made in decided:
                for index, body in enumerate(made["effects"]):
                    order = msgspec.json.decode(body, type=Order)
                    database.execute(
                        "UPDATE fills SET account = ?, symbol = ?, n = ?, side = ?, quantity = ?, price = ?"
                        " WHERE order_id = ?",
                        (
                            order.account,
                            order.symbol,
                            order.n,
                            order.side,
                            order.quantity + self.more_filled,
                            order.price,
                            effect_id(made["task"], index),
                        ),
                    )
        return path

    more_filled = 0
    """By how much each fill is larger than what was decided."""

    def filled(self, at_s: float, task: str) -> None:
        self.journal.append((effect_id(task, 0), '{"quantity":1}'))
        self.fills.append((effect_id(task, 0), T + at_s))

    def refill(self, at_s: float, task: str) -> None:
        """As if it had been filled then, and not before."""
        self.fills = [(order, time) for order, time in self.fills if order != effect_id(task, 0)]
        self.fills.append((effect_id(task, 0), T + at_s))

    def decision(self, task: str) -> Row:
        return self.find("final", what="decision", task=task)

    def fault(self, kind: str, node: str, start_s: float, end_s: float | None, **facts: Any) -> None:
        end = {} if end_s is None else {"end_s": T + end_s}
        self.faults.append(
            {"kind": kind, "target": node, "node": node, "start_s": T + start_s, "verified": True}
            | end
            | facts
        )

    def degraded(self, begin_s: float, end_s: float, *nodes: str) -> None:
        for node in nodes:
            self.line(begin_s, node, "degraded", "ok", what="begin", term=20, mode="reduce-only")
            self.line(end_s, node, "degraded", "ok", what="end", term=40)


def judged_case(run: StarRun, path: Path) -> Case:
    return case_in(run.written(path))


def good_star() -> StarRun:
    """A run in which everything held."""
    run = StarRun()
    run.spec |= {"pattern": "star", "tasks": 6, "exposure_max": BOUND, "pause_leader": False}
    for node in ("broker", "venue", "hub-1", "hub-2", "gateway", "agent-1", "agent-2", "producer"):
        run.start(-1.0, node)
    listeners = ("agent-1", "agent-2", "gateway")
    _lead(run)
    for at_s, term in ((0.1, 1), (3.25, 20), (14.4, 40)):
        for node in listeners:
            run.line(at_s, node, "command", "ok", what="lead", term=term, holder=TERMS[term])
    run.fault("pause", "hub-1", 2.0, 4.5)
    run.fault("pause", "hub-2", 10.0, 15.0)
    run.fault("pause", "hub-1", 10.0, 14.0)
    run.degraded(12.1, 14.41, *listeners)
    for at_s, hub, term, highest in ((4.6, "hub-1", 1, 20), (15.1, "hub-2", 20, 40)):
        run.line(at_s, hub, "fenced", "fail", term=term, code=10071)
        run.line(at_s, hub, "resign", "ok", term=term)
        for node in listeners:
            refused = {"what": "lead", "term": term, "highest": highest, "holder": hub}
            run.line(at_s, node, "command", "fail", **refused)
    _log(run)
    run.line(21.0, "squall", "final", "ok", what="complete", drained=True, bound_s=60.0, took_s=1.0)
    return run


def _lead(run: StarRun) -> None:
    for at_s, term in ((0.0, 1), (3.2, 20), (14.3, 40)):
        run.line(at_s, TERMS[term], "lead", "ok", term=term)
        run.line(20.0, "squall", "final", "ok", what="term", seq=term, holder=TERMS[term], time_s_stored=T)
        places = [made for _, made, *_ in ASKED if _term(made) == term]
        run.line(
            DECIDED_S[term] + 0.01,
            TERMS[term],
            "decide",
            "ok",
            term=term,
            decisions=len(places),
            first=places[0],
            last=places[-1],
        )


def _term(place: int) -> int:
    return max(term for term in TERMS if term < place)


def _ruled(asked: Sequence[tuple[bytes, ...]]) -> Iterator[Ruling]:
    """What a hub decides on these requests, by its own rule."""
    held: dict[str, int] = {}
    for effects, (*_, reduce_only) in zip(asked, ASKED, strict=True):
        ruling = rule(effects, held, bound=BOUND, reduce_only=reduce_only)
        held = ruling.positions
        yield ruling


def _log(run: StarRun) -> None:
    asked = [(effect(task, side, quantity),) for _, _, _, _, task, side, quantity, _ in ASKED]
    rulings = list(_ruled(asked))
    for (place, made, at_s, spoke, task, *_, reduce_only), effects, ruling in zip(
        ASKED, asked, rulings, strict=True
    ):
        decided_s = DECIDED_S[_term(made)]
        run.submit(at_s - 0.5, task)
        run.line(at_s, spoke, "commit", "ok", task=task, attempt=1, status="ok")
        facts: Row = {"task": task, "agent": spoke, "status": "ok", "reason": ""}
        run.line(
            20.0,
            "squall",
            "final",
            "ok",
            what="request",
            seq=place,
            effects=effects,
            reduce_only=reduce_only,
            attempt=1,
            time_s_stored=T + at_s,
            **facts,
        )
        run.line(
            20.0,
            "squall",
            "final",
            "ok",
            what="decision",
            seq=made,
            request=place,
            term=_term(made),
            effects=ruling.effects,
            reduces=ruling.reduces,
            denied="",
            time_s_stored=T + decided_s,
            **facts,
        )
        run.register(
            decided_s, task, term=_term(made), job=CLASS[spoke], agent=spoke, effects=[effect_id(task, 0)]
        )
        # A degraded gateway carries the reduction, and what was decided after it once a hub leads again.
        run.filled({"b-1": 13.5, "a-4": 14.6}.get(task, decided_s + 0.2), task)
    run.line(
        20.0,
        "squall",
        "final",
        "ok",
        what="snapshot",
        seq=46,
        positions=rulings[-1].positions,
        decided=len(ASKED),
        requests=30,
        ingress=6,
        open=0,
        trimmed=0,
    )
