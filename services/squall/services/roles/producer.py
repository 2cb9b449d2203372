"""Producer: replays the workload as tasks, at the pace it was told, while there is room.

Open loop: a task is due at a fixed time whatever became of those before it, and
its latency counts from then. The broker's answer decides: *stored* is accepted;
*refused* (no room) is offered again until patience ends; *unknown* is sent again
with the same id. A refusal says nothing of what was sent before it and not answered:
that may have been stored, and be done already. In a sequenced workload patience does
not end, and what has one key is offered one after the other; so it is where tasks come in
on a subject of the user's (`taking.py`) or through a pipe (`following.py`), which keeps what
is not accepted yet.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
import random
import time
import zlib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal
from weakref import WeakValueDictionary

from squall.bus.backoff import Backoff
from squall.bus.border import printable
from squall.bus.codec import SUBMISSION_BYTES_MAX, encode
from squall.bus.errors import InvalidNameError, MessageTooLargeError
from squall.bus.jetstream import publish
from squall.bus.messages import CloseJob, RunTask
from squall.bus.tasks import task_group
from squall.services.intake.source import is_streamed
from squall.services.intake.store import Stored, stored
from squall.services.intake.subject import comes_in
from squall.services.node.service import Service
from squall.services.roles.following import follow
from squall.services.roles.taking import take
from squall.services.trading.workload import Submission

log = logging.getLogger("squall")

POINTS: Final[dict[str, str]] = {}
"""Nothing strikes it in the middle of its work: it is the witness of what was offered."""

IN_FLIGHT_MAX = 256
UNKNOWN_S = 60.0
"""How long an unknown submission is repeated; half of the stream's window for repeated ids."""

REFUSED_PAUSE_S = (0.05, 1.0)

Became = Literal["ok", "fail", "unknown"]
"""What became of a task that was offered."""

CLOSE_PATIENCE_S = 20.0
"""How long the end of a job is repeated after the producer was asked to stop."""


async def serve(service: Service) -> None:
    """Offer every task, then say of each job that no more will come, where somebody needs to know."""
    spec = service.spec
    begun, settled = _before(service)
    chance = random.Random(f"{spec.seed}/{service.node}/{service.start.incarnation}/retry")
    service.ready()
    if is_streamed(spec.tasks_from):
        jobs = await _take_in(service, chance, begun, settled)
    else:
        jobs = await _replay(service, chance, begun, settled)
    if service.pattern.close is not None:
        for job in sorted(jobs):
            await _close(service, service.pattern.close(service.swarm, job), job, chance)


async def _replay(service: Service, chance: random.Random, begun: set[str], settled: set[str]) -> set[str]:
    """Offer what there is to offer, each when it is due; the jobs of it."""
    spec = service.spec
    turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
    jobs: set[str] = set()
    limit = asyncio.Semaphore(IN_FLIGHT_MAX)
    begin_s = time.time()
    place = 0
    async with task_group() as tasks:
        for task, submission in numbered(service):
            if service.stop.is_set():
                break
            jobs.add(submission.job)
            if task in settled:
                continue
            due_s = begin_s + place / spec.rate_per_s
            place += 1
            await _sleep_until(due_s, service.stop)
            if service.stop.is_set():
                break
            await limit.acquire()
            message = _message(service, task, submission, due_s)
            turn = turns[message.key] if spec.is_sequenced else None
            offered = tasks.start(_offer(service, message, chance, turn=turn, may_be_stored=task in begun))
            offered.add_done_callback(lambda _: limit.release())
    return jobs


async def _take_in(service: Service, chance: random.Random, begun: set[str], settled: set[str]) -> set[str]:
    """Offer what comes in, for as long as something may; the jobs of it."""
    # A key may be the user's own and new with each task: its turn lives as long as somebody waits for it.
    turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def offer(own: Stored, due_s: float) -> str:
        async with turns.setdefault(own.key, asyncio.Lock()):
            await _sleep_until(due_s, service.stop)
            if service.stop.is_set():
                return "fail"
            submission = _own(service, own)
            message = _message(service, own.task, submission, due_s)
            return await _offer(service, message, chance, waits=True, may_be_stored=own.task in begun)

    taking = take if comes_in(service.spec.tasks_from) else follow
    return {service.pattern.job(key, needs) for key, needs in await taking(service, offer, settled)}


def _message(service: Service, task: str, submission: Submission, due_s: float) -> RunTask:
    return RunTask(
        task=task,
        key=submission.key,
        job=submission.job,
        number=submission.number,
        submit_s=due_s,
        deadline_s=submission.deadline_s or due_s + service.spec.task_deadline_s,
        body=submission.body,
        named=submission.named or None,
    )


def numbered(service: Service) -> Iterator[tuple[str, Submission]]:
    """The workload, each submission with the name of its task."""
    for submission in _submissions(service):
        yield submission.name, submission


def _submissions(service: Service) -> Iterator[Submission]:
    if not service.start.tasks:
        yield from service.pattern.workload(service.spec)
        return
    for own in stored(Path(service.start.tasks)):
        yield _own(service, own)


def _own(service: Service, own: Stored) -> Submission:
    return Submission(
        own.key,
        service.pattern.job(own.key, own.needs),
        own.number,
        own.body,
        task=own.task,
        named=own.named if own.named != own.key else "",
        deadline_s=own.deadline_s,
    )


def _before(service: Service) -> tuple[set[str], set[str]]:
    """Tasks that an earlier incarnation offered, and those of them that it brought to an end.

    The others are offered again, with the same ids.
    """
    begun: set[str] = set()
    settled: set[str] = set()
    path = Path(service.start.history)
    if service.start.incarnation == 1 or not service.start.history:
        return begun, settled
    waits = service.spec.is_sequenced or is_streamed(service.spec.tasks_from)
    ends = ("ok",) if waits else ("ok", "fail")
    with path.open("rb") as lines:
        for line in lines:
            with contextlib.suppress(ValueError, RecursionError):
                fact = json.loads(line)
                if fact["op"] == "submit":
                    begun.add(fact["task"])
                    if fact["type"] in ends:
                        settled.add(fact["task"])
    return begun, settled


async def _sleep_until(due_s: float, stop: asyncio.Event) -> None:
    """Wait until a task is due, or the producer is to stop. Never shorter, or its latency would be too."""
    while not stop.is_set() and (pause_s := due_s - time.time()) > 0:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await stop.wait()


async def _offer(
    service: Service,
    message: RunTask,
    chance: random.Random,
    *,
    turn: asyncio.Lock | None = None,
    waits: bool = False,
    may_be_stored: bool = False,
) -> Became:
    """Submit one task until it is accepted, refused for good, or unknown for too long; what became of it.

    Args:
        waits: Whether patience does not end, and it is offered until it is accepted, or the producer is to
            stop.
        turn: Had, in the order of asking, by one task of its key at a time. Where there are turns a task is
            offered until it is accepted, as what follows it would be a gap, or until the producer is to stop.
        may_be_stored: Whether it was sent before, by an earlier incarnation that knew no answer.
    """
    history = service.history
    service.counters["offered"] += 1
    history(
        "submit",
        "invoke",
        task=message.task,
        key=message.key,
        job=message.job,
        submit_s=message.submit_s,
        input=zlib.crc32(message.body),
    )
    async with turn or contextlib.nullcontext():
        patience_s = math.inf if turn or waits else service.spec.patience_s
        return await _offered(service, message, chance, patience_s, may_be_stored=may_be_stored)


async def _offered(
    service: Service, message: RunTask, chance: random.Random, patience_s: float, *, may_be_stored: bool
) -> Became:
    """Submit one task that was told of, and tell what came of it."""
    history = service.history
    if patience_s == math.inf and service.stop.is_set():
        became: Became = "unknown" if may_be_stored else "fail"
        service.counters["unknown" if may_be_stored else "refused"] += 1
        history("submit", became, task=message.task, reason="the producer was to stop", refusals=0)
        return became
    try:
        subject, data = _addressed(service, message)
    except (InvalidNameError, MessageTooLargeError) as error:
        service.counters["unusable"] += 1
        history("submit", "fail", task=message.task, reason=printable(str(error)), refusals=0)
        return "fail"
    patience_ends = time.monotonic() + patience_s
    backoff = Backoff(REFUSED_PAUSE_S[0], REFUSED_PAUSE_S[1], floor_s=REFUSED_PAUSE_S[0], chance=chance)
    refusals = 0
    while True:
        outcome = await publish(
            service.connection,
            subject,
            data,
            message_id=message.task,
            timeout_s=UNKNOWN_S,
            chance=chance,
        )
        unanswered = outcome.tries - (outcome.kind != "unknown")
        may_be_stored = may_be_stored or unanswered > 0
        if outcome.kind == "unknown" and patience_s == math.inf and not service.stop.is_set():
            continue
        if outcome.kind != "refused":
            break
        refusals += 1
        service.counters["refusals"] += 1
        if time.monotonic() >= patience_ends or service.stop.is_set():
            break
        await asyncio.sleep(backoff.pause_s())
    if outcome.accepted:
        service.counters["accepted"] += 1
        history("submit", "ok", task=message.task, seq=outcome.sequence, refusals=refusals)
        return "ok"
    if outcome.kind == "refused" and not may_be_stored:
        service.counters["refused"] += 1
        history("submit", "fail", task=message.task, reason=outcome.reason, refusals=refusals)
        return "fail"
    service.counters["unknown"] += 1
    history("submit", "unknown", task=message.task, reason=outcome.reason, refusals=refusals)
    return "unknown"


def _addressed(service: Service, message: RunTask) -> tuple[str, bytes]:
    """Where a task is submitted, and as what.

    Raises:
        InvalidNameError: Its names cannot be used in subjects.
        MessageTooLargeError: It is too large to be dispatched.
    """
    subject = service.pattern.subject(service.swarm, message)
    return subject, encode(message, SUBMISSION_BYTES_MAX)


async def _close(service: Service, subject: str, job: str, chance: random.Random) -> None:
    """Say that a job is complete, for as long as it takes: nothing ends before that is known.

    Once the producer was asked to stop, no longer than `CLOSE_PATIENCE_S`: with a full ingress that nobody
    empties it would be for ever.
    """
    data = encode(CloseJob(job=job))
    stopped_s: float | None = None
    while True:
        if service.stop.is_set():
            stopped_s = stopped_s or time.monotonic()
            if time.monotonic() - stopped_s > CLOSE_PATIENCE_S:
                log.error("job %s was never closed: the ingress takes nothing", job)
                return
        outcome = await publish(
            service.connection,
            subject,
            data,
            message_id=f"close-{job}",
            timeout_s=CLOSE_PATIENCE_S,
            chance=chance,
        )
        if outcome.accepted:
            return
        log.info("job %s not closed yet: %s", job, outcome.reason)
        await asyncio.sleep(REFUSED_PAUSE_S[0])
