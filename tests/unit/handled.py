"""A run without a swarm: a handler is really loaded and called, and what its agent writes is judged.

What is not the handler's own (submissions, dispatches, what became of orders) is written as a swarm in which
all is well would write it, so that what is said of the run is said of the handler.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from tests.unit.histories import Run, T

from squall.bus.ended import Done, Failed
from squall.bus.messages import RunTask
from squall.services.handlers import effect_id
from squall.services.handlers.loading import load
from squall.services.handlers.mistakes import begins
from squall.services.handlers.python import PythonHandler
from squall.services.roles.handler_told import HandlerTold
from squall.services.trading.orders import read_order

TASKS = 4
ATTEMPTS = 2
TIMEOUT_S = 0.2


def handled(name: str, *, tasks: int = TASKS) -> Run:
    """The run of a handler that is found by its name."""
    run = _swarm(name, tasks)
    function = load(name)
    handler = PythonHandler(function, timeout_s=TIMEOUT_S, slots=tasks, stuck=lambda: None)

    def write(op: str, kind: Any, /, **facts: Any) -> None:
        run.line(2.0, "agent-1", op, kind, **facts)

    told = HandlerTold(name, write, begins(function))

    async def all_attempts() -> None:
        for number in range(1, tasks + 1):
            task = RunTask(task=f"a-{number}", key="a", job="momentum", number=number, body=b"input")
            await _end(run, task, handler, told, 1.0 + number / 10)

    asyncio.run(all_attempts())
    return run


def _swarm(name: str, tasks: int) -> Run:
    """All that is not the agent's: who there is, and what was submitted, dispatched and read back."""
    run = Run()
    run.spec |= {"tasks": tasks, "handler": name, "attempts": ATTEMPTS, "agents": 1, "pause_leader": False}
    for node in ("broker", "venue", "coordinator-1", "gateway", "agent-1", "producer"):
        run.start(-1.0, node)
    run.line(-0.5, "squall", "note", "ok", limits=[], environment={"cpus": 2}, handler=name)
    run.line(0.0, "coordinator-1", "lead", "ok", term=2)
    for number in range(1, tasks + 1):
        run.submit(number / 100, f"a-{number}")
    run.line(0.9, "coordinator-1", "dispatch", "ok", term=2, tasks=tasks, first=4)
    run.line(20.0, "squall", "final", "ok", what="job", job="momentum", opened=True, done=True, ok=tasks)
    run.line(20.0, "squall", "final", "ok", what="queue", dispatched=tasks, arrivals=tasks, left=0)
    run.line(21.0, "squall", "final", "ok", what="complete", drained=True, bound_s=60.0, took_s=1.0)
    return run


async def _end(run: Run, task: RunTask, handler: PythonHandler, told: HandlerTold, at_s: float) -> None:
    """Make attempts at a task until it has ended."""
    for attempt in range(1, ATTEMPTS + 1):
        run.line(at_s, "agent-1", "run", "invoke", task=task.task, attempt=attempt)
        ended = await handler.run(task, attempt)
        told.ended(task.task, attempt, ended)
        at_s += 0.02
        if isinstance(ended, Done) or ended.final or attempt == ATTEMPTS:
            break
        run.line(at_s, "agent-1", "attempt", "fail", task=task.task, attempt=attempt, reason=ended.reason)
        at_s += 1.0
    status = "ok" if isinstance(ended, Done) else "dead"
    run.line(at_s, "agent-1", "commit", "ok", task=task.task, attempt=attempt, status=status)
    orders = []
    if isinstance(ended, Done):
        for index, body in enumerate(ended.effects):
            order_id, order = effect_id(task.task, index), read_order(body)
            orders.append(order_id)
            refused = isinstance(order, str)
            run.journal.append((order_id, None if refused else body.decode()))
            if isinstance(order, str):
                run.refusals.append((order_id, order))
                facts = {"what": "rejected", "task": task.task, "order_id": order_id, "reason": order}
                run.line(at_s + 0.1, "gateway", "refuse", "fail", **facts)
            else:
                run.fills.append((order_id, T + at_s + 0.1))
    reason = ended.reason if isinstance(ended, Failed) else ""
    said = {"status": status, "attempt": attempt, "agent": "agent-1", "reason": reason}
    run.register(at_s, task.task, term=2, **said, effects=orders)
    if reason:
        facts = {
            "of": task.task,
            "input": 3633523372,
            "attempt": attempt,
            "agent": "agent-1",
            "reason": reason,
        }
        run.line(20.0, "squall", "final", "ok", what="dead-letter", task=task.task, **facts)


def in_folder(folder: Path, source: str) -> str:
    """The name of a handler that is written into a folder, which must be the current one."""
    (folder / "mine.py").write_text(source)
    return "mine:decide"
