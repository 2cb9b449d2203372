"""The result document of a run: what was asked, what was measured, what was found.

The harness fills it in; the command prints it and turns it into an exit code.
Absent figures are null, never zero. Times are seconds, latencies milliseconds.
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Literal

import msgspec

from squall.services.errors import SpecError

Verdict = Literal["pass", "fail", "unknown"]

NOT_EXERCISED = "not exercised"
"""What is said of a check instead of *unknown* where nothing happened that it is about."""


HANDLER_CHECK = "W1"
"""Id of the check that tells of the user's own handler; where it fails, that is told first."""


SLOW_CALL, SLOW_CONSUMER = "slow-call", "slow-consumer"
"""What the broker's log tells of; see `Busy`."""


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """From intended submission to the fill recorded at the venue."""

    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    max: float | None = None


class Recovery(msgspec.Struct, frozen=True, kw_only=True):
    """What faults cost, each null where no fault asked for it.

    Attributes:
        detect: From the fault on a leader to the next term.
        failover: From the same to the first dispatch under that term, without time in which nothing was due.
        drain: From the end of the last fault, or of the load if that is later, until everything accepted had
            ended and been delivered; of an experiment whose load went on, until what was due by then had.
    """

    detect: float | None = None
    failover: float | None = None
    drain: float | None = None


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One fault that was injected; ``verified`` when it was seen to be in force."""

    kind: str
    target: str
    start_s: float
    end_s: float | None = None
    verified: bool = False


class Busy(msgspec.Struct, frozen=True, kw_only=True):
    """That the broker, or a client of it, was slow, as the broker's own log says.

    Attributes:
        what: ``slow-call``: the broker took long over something. ``slow-consumer``: a client did not read
            what the broker had for it.
        at_s: When it was said, which is when it was over.
        took_s: How long it had lasted.
    """

    what: str
    at_s: float
    took_s: float | None = None
    said: str = ""


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One named check, and in a sentence or two why its verdict is what it is.

    Attributes:
        exercised: False where nothing happened that the check is about, so that it is unknown and no matter.
        task: One that shows it; empty where it is of no task in particular.
    """

    id: str
    name: str
    verdict: Verdict
    detail: str
    exercised: bool = True
    task: str = ""

    @property
    def said(self) -> str:
        """The verdict in words."""
        return self.verdict if self.exercised else NOT_EXERCISED


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """Where it ran."""

    python: str | None = None
    nats_server: str | None = None
    toxiproxy: str | None = None
    cpus: int | None = None
    platform: str | None = None


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One run, judged.

    Attributes:
        run: The name of its directory.
        offered: Tasks the producer tried to submit.
        accepted: Those whose submission the broker answered *stored*.
        refused: Those that the broker refused for good; of the rest it is not known.
        interrupted: Whether it was stopped before it had come to its end; None where it is not known.
        effects: Intents filled at the venue.
        dead_letters, cancelled: Accepted tasks whose register says so.
        lost: Accepted tasks without a register, and intents of ``ok`` registers neither filled nor refused.
        duplicated: Intents filled more than once, and order ids filled that no register intends.
        conflicting: Order ids that came with two different bodies.
        duplicates_suppressed: Repeats that a register or the venue refused.
        refused_effects: Intents that were not filled because they were no orders, each with a reason.
        refused_writes: Writes of deposed leaders that the broker refused.
        availability: Accepted over offered.
        reliability: Accepted tasks with exactly their effects before their deadline, over accepted. Null too
            where tasks ended well and none of them intended an effect.
        reliability_interval: Its Wilson 95 % interval.
        throughput_per_s: Effects over the time from the first intended submission to the last fill.
        duration_s: Wall time of the whole.
        limits: Guarantees this run did not have, in words.
        interrupted: Whether it was stopped before it had come to its end; None where it is not known.
        one_order_each: Whether every accepted task had exactly one order, and that was filled.
        broker: What the broker's own log says of slow calls and slow consumers.
    """

    pattern: str | None
    run: str
    seed: int | None
    target: str | None
    revision: str | None
    durability: str | None
    agents: int | None
    workload: str | None
    offered: int | None
    accepted: int | None
    effects: int | None
    dead_letters: int | None
    cancelled: int | None
    lost: int | None
    duplicated: int | None
    conflicting: int | None
    duplicates_suppressed: int | None
    refused_effects: int | None
    refused_writes: int | None
    availability: float | None
    reliability: float | None
    reliability_interval: tuple[float, float] | None
    latency_ms: Latency
    throughput_per_s: float | None
    duration_s: float | None
    recovery_s: Recovery
    faults: tuple[Fault, ...]
    checks: tuple[Check, ...]
    limits: tuple[str, ...]
    environment: Environment
    refused: int | None = None
    interrupted: bool | None = None
    one_order_each: bool | None = None
    broker: tuple[Busy, ...] = ()


def exit_code(result: Result) -> int:
    """0 when all that was exercised passes, 1 when a check fails, 3 when one is unknown or there is none."""
    verdicts = {check.verdict for check in result.checks if check.exercised}
    if "fail" in verdicts:
        return 1
    return 0 if verdicts == {"pass"} else 3


def blamed_on_handler(result: Result) -> str:
    """What the user's own handler did wrong, beginning with its name; empty if nothing."""
    return next(
        (check.detail for check in result.checks if check.id == HANDLER_CHECK and check.verdict == "fail"), ""
    )


def document(result: Result, *, indent: int = 0) -> bytes:
    """The document as JSON: on one line, or indented for a file that people read."""
    encoded = msgspec.json.encode(result)
    return msgspec.json.format(encoded, indent=indent) if indent else encoded


REPORT = "report.html"
"""The page that judging leaves in the directory of a run, and a series in its own, if it can."""


def judge(path: Path) -> Result:
    """Have the harness judge a run's directory, and write the result there.

    Raises:
        SpecError: The harness is not installed.
    """
    for entry in importlib.metadata.entry_points(group="squall.judge"):
        result: Result = entry.load()(path)
        return result
    raise SpecError("nothing here can judge a run", "install squall with its chaos part")
