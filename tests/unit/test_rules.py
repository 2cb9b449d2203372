"""What decides, as tables: the coordinator's fold, the window, the pause between attempts, loyalty."""

from __future__ import annotations

import contextlib
import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from squall.bus.border import check_name
from squall.bus.codec import MESSAGE_BYTES_MAX, decode, encode
from squall.bus.errors import DecodeError, InvalidNameError, MessageTooLargeError
from squall.bus.fenced import stragglers
from squall.bus.messages import SCHEMA, CloseJob, CoordinatorState, RunTask
from squall.bus.queue import Pacing
from squall.bus.subjects import Subjects, matches
from squall.services.patterns.hierarchical import WINDOW_MAX
from squall.services.rules.admission import Window
from squall.services.rules.dispatch import JOBS_MAX, Progress, open_sequences


def task(name: str, ingress: int = 0) -> RunTask:
    return RunTask(task=name, key="k", job="j", ingress=ingress)


def test_a_fold_from_a_snapshot_equals_the_fold_from_the_start() -> None:
    """However many records the snapshot covers, the same state comes out."""
    chance = random.Random(5)
    for _ in range(50):
        whole = Progress()
        ended = 0
        snapshots: list[tuple[int, CoordinatorState]] = []
        log: list[tuple[str, str]] = []
        for step in range(60):
            running = sorted(whole.open)
            if running and chance.random() < 0.5:
                name, ended = chance.choice(running), ended + 1
                whole.end(name, chance.choice(["ok", "dead"]))
                whole.results = ended
                log.append(("result", name))
            else:
                whole.dispatch(task(f"t{step + 1}", ingress=step), step + 1)
                log.append(("dispatch", f"t{step + 1}"))
            snapshots.append((len(log), whole.snapshot("w")))
        for _, snapshot in snapshots:
            again = Progress(decode(encode(snapshot), CoordinatorState))
            for sequence in open_sequences(snapshot.open):
                again.restore(task(f"t{sequence}"), sequence)
            assert again.snapshot("w") == snapshot


def test_a_job_is_finished_once_closed_and_all_its_tasks_are_terminal() -> None:
    progress = Progress()
    progress.dispatch(task("t1", 1), 1)
    progress.dispatch(task("t2", 2), 2)
    assert progress.finished() == []
    progress.end("t1", "ok")
    progress.close("j", 3)
    assert progress.finished() == []
    progress.end("t2", "dead")
    assert progress.finished() == ["j"]
    progress.finish(["j"])
    assert progress.finished() == []
    assert (progress.ingress, progress.jobs["j"].ok, progress.jobs["j"].dead) == (3, 1, 1)


def test_a_job_ends_with_its_last_task_however_each_of_them_ended() -> None:
    progress = Progress()
    for number in (1, 2, 3):
        progress.dispatch(task(f"t{number}", number), number)
    progress.close("j", 4)
    for number, status in enumerate(("ok", "dead", "cancelled"), 1):
        assert progress.finished() == []
        progress.end(f"t{number}", status)  # type: ignore[arg-type]
    assert progress.finished() == ["j"]


def test_a_task_submitted_twice_counts_once() -> None:
    progress = Progress()
    assert progress.dispatch(task("t", 1))
    assert not progress.dispatch(task("t", 2))
    progress.undo(task("t"))
    assert (progress.dispatched, progress.open, progress.ingress) == (0, {}, 2)


def test_an_answer_that_overtakes_the_acknowledgement_leaves_nothing_open() -> None:
    progress = Progress()
    progress.dispatch(task("t", 1))
    assert progress.end("t", "ok") is not None
    progress.stored("t", 7)
    assert progress.open == {}


def test_a_task_dispatched_again_is_part_of_its_job_once() -> None:
    progress = Progress()
    progress.dispatch(task("t", 1), 1)
    assert progress.dispatch(replace(task("t", 1), again=1), 5)
    assert not progress.dispatch(replace(task("t", 1), again=1), 5)
    assert (progress.dispatched, progress.jobs["j"].dispatched) == (2, 1)
    progress.end("t", "ok")
    assert (progress.open, progress.jobs["j"].ok) == ({}, 1)


def test_a_snapshot_of_the_largest_window_fits_a_message() -> None:
    progress = Progress()
    for number in range(JOBS_MAX):
        progress.dispatch(RunTask(task="t", key="k", job=f"{number:040d}"), 1)
        progress.end("t", "ok")
    for number in range(WINDOW_MAX):
        # Of every third dispatch the task is still open, and the newest are being written.
        sequence = 3 * number if number < WINDOW_MAX - 250 else 0
        progress.dispatch(RunTask(task=f"{number:040d}", key="k", job=f"{0:040d}"), sequence)
    assert len(encode(progress.snapshot("w" * 16))) < MESSAGE_BYTES_MAX
    assert not progress.may_open("one-more")


@pytest.mark.parametrize(
    ("sequences", "end", "far"),
    [
        ([], 100, 0),
        ([90, 95, 99], 100, 0),
        ([1, 2, 9_000, 9_001, 9_003], 9_004, 2),
        ([1], 1_000_000, 1),
    ],
)
def test_dispatches_far_back_are_fetched_one_by_one(sequences: list[int], end: int, far: int) -> None:
    assert stragglers(sequences, end) == far


def test_the_window_opens_with_results_and_halves_once_a_window_when_they_are_late() -> None:
    window = Window(4, limit_max=100, age_s_max=1.0)
    assert window.limit == 8
    for _ in range(2000):
        window.ended(0.01)
    assert window.limit == 100
    for _ in range(30):
        window.ended(5.0)
    assert window.limit == 50
    for _ in range(1000):
        window.ended(5.0)
    assert window.limit == 4


def test_a_pause_is_random_below_a_doubling_cap() -> None:
    pacing = Pacing(retry_base_s=1.0, retry_cap_s=5.0)
    chance = random.Random(1)
    for attempt, most in [(1, 2.0), (2, 4.0), (3, 5.0), (9, 5.0)]:
        pauses = [pacing.pause_s(attempt, chance) for _ in range(200)]
        assert 0 <= min(pauses) < 0.2 * most
        assert 0.8 * most < max(pauses) <= most


@pytest.mark.parametrize("schema", [SCHEMA - 1, SCHEMA])
def test_a_message_of_this_schema_or_the_one_before_is_read(schema: int) -> None:
    assert decode(encode(CloseJob(job="j", schema=schema)), CloseJob).schema == schema


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"not msgpack",
        encode(CloseJob(job="j", schema=SCHEMA + 1)),
        encode(CloseJob(job="j", schema=SCHEMA - 2)),
        encode(RunTask(task="t", key="k", job="j")),
        encode(CloseJob(job="")),
    ],
)
def test_what_is_not_this_message_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode(data, CloseJob)


def test_a_message_beyond_the_bound_is_not_read_though_it_is_one() -> None:
    large = encode(RunTask(task="t", key="k", job="j", body=b"x" * MESSAGE_BYTES_MAX), bytes_max=10**9)
    with pytest.raises(DecodeError, match="bytes pass"):
        decode(large, RunTask)


@given(st.binary(max_size=40), st.integers(min_value=0, max_value=80))
@example(b"\xff\xfe", 36)  # no UTF-8, in the name of the job
def test_whatever_is_written_over_a_message_it_is_read_or_refused(over: bytes, place: int) -> None:
    whole = encode(CloseJob(job="a-job"))
    for data in (whole[:place] + over, whole[:place] + over + whole[place + len(over) :]):
        with contextlib.suppress(DecodeError):
            decode(data, CloseJob)


def test_a_message_beyond_the_bound_is_not_sent() -> None:
    with pytest.raises(MessageTooLargeError):
        encode(RunTask(task="t", key="k", job="j", body=b"x" * MESSAGE_BYTES_MAX))


@pytest.mark.parametrize(
    "name", ["*", ">", "peer:>", "a.b", "", "Upper", "x" * 300, "-a", "a b", "a\n", "é", "$js", "a*"]
)
def test_a_name_that_could_widen_a_permission_is_refused_with_a_sentence(name: str) -> None:
    with pytest.raises(InvalidNameError, match="cannot be used: use 1 to 40 of the characters"):
        check_name(name)
    with pytest.raises(InvalidNameError):
        Subjects(name)
    with pytest.raises(InvalidNameError):
        Subjects("s").submit(name)


@pytest.mark.parametrize(
    ("pattern", "subject", "expected"),
    [
        ("a.b", "a.b", True),
        ("a.*", "a.b", True),
        ("a.*", "a.b.c", False),
        ("a.>", "a.b.c", True),
        ("a.>", "a", False),
        (">", "a", True),
        ("*.b", "a.b", True),
        ("a.b", "a.c", False),
    ],
)
def test_patterns_match_as_the_broker_matches_them(pattern: str, subject: str, expected: bool) -> None:
    assert matches(pattern, subject) is expected
