"""A run made by hand in which tasks came to every end there is, under faults that overlap."""

from __future__ import annotations

from tests.unit.histories import Run, T, good_run

LONG = "agent-of-a-desk-with-a-long-name-1"

OVERLAPPING = (
    ("pause", "leader", "coordinator-1", 2.0, 4.5),
    ("crash", "any-agent", "agent-1", 2.2, 2.9),
    ("errors", "venue", "venue", 2.4, 2.6),
    ("one-way-up", "all-agents", "agent-1", 2.5, 7.0),
    ("one-way-up", "all-agents", "agent-2", 2.5, 7.0),
    ("flap", "gateway", "gateway", 2.5, 5.0),
    ("clock-off", "gateway", "gateway", 4.0, 9.0),
    ("blackhole-nofin", "any-agent", LONG, 4.1, 6.0),
    ("hand-over", "leader", "coordinator-2", 8.0, 8.0),
    ("latency", "minority", "agent-2", 9.0, 19.9),
    ("pause", "venue", "venue", 19.5, 20.0),
)


def eventful_run() -> Run:
    """Beside a good run's tasks, three of them late: dead, lost, filled twice, refused, rejected."""
    run = good_run()
    run.spec["task_deadline_s"] = 1.2
    run.start(-1.0, LONG)
    run.faults = [
        {
            "kind": kind,
            "target": target,
            "node": node,
            "start_s": T + start,
            "end_s": T + end,
            "verified": True,
        }
        for kind, target, node, start, end in OVERLAPPING
    ]
    for n in range(9, 21):  # more than a third
        run.submit(3.0 + n / 20, f"a-{n}", "fail")
    for task, at_s in (
        ("b-dead", 4.0),
        ("b-lost", 4.1),
        ("b-twice", 4.2),
        ("b-rejected", 4.3),
        ("b-gone", 4.4),
    ):
        run.submit(at_s, task)
    run.line(5.0, "agent-2", "run", "invoke", task="b-dead", attempt=1)
    run.line(5.2, "agent-2", "attempt", "fail", task="b-dead", attempt=1, reason="ValueError: no <price>")
    run.register(5.3, "b-dead", term=10, status="dead", reason="ValueError: no <price>")
    for task in ("b-lost", "b-twice", "b-rejected"):
        run.register(5.0, task, term=10)
    for at_s in (5.1, 5.4):
        run.fill(at_s, "b-twice")
    run.refusals.append(("b-rejected.0", "price is missing"))
    return run
