"""Which tasks a queue delivers, and the consumer behind it."""

from __future__ import annotations

import pytest

from squall.bus.queue import Pacing, Queue, consumer_config, stream_config
from squall.bus.service_time import averaged_ms
from squall.bus.subjects import ANY, Subjects

S = Subjects("s")


def queue(*tasks: str) -> Queue:
    return Queue(
        stream=S.stream("WK"),
        consumer="agent-1",
        tasks=tasks,
        register=lambda lane, task: S.request("agent-1", task),
    )


@pytest.mark.parametrize(
    ("subject", "delivers"),
    [
        (S.queued_in("pairs-es", "7", "k", "t"), True),
        (S.queued_in("trend-nq", "7", "k", "t"), True),
        (S.queued_in("trend-es", "7", "k", "t"), False),
        (S.register("7", "t"), False),
    ],
)
def test_a_worker_of_two_classes_takes_no_task_of_a_third(subject: str, delivers: bool) -> None:
    mine = queue(*(S.queued_in(kind, ANY, ANY, ANY) for kind in ("pairs-es", "trend-nq")))
    assert mine.delivers(subject) is delivers
    assert mine.register("7", "t") == S.request("agent-1", "t")


def test_a_consumer_has_one_filter_or_several_and_never_none() -> None:
    """One without filters would be given everybody's tasks."""
    one = consumer_config(queue(S.work), Pacing(), agents=4, slots=8)
    assert (one["filter_subject"], "filter_subjects" in one) == (S.work, False)
    pair = S.queued_in("a", ANY, ANY, ANY), S.queued_in("b", ANY, ANY, ANY)
    two = consumer_config(queue(*pair), Pacing(), agents=1, slots=8)
    assert (two["filter_subjects"], "filter_subject" in two) == (pair, False)
    assert (two["durable_name"], two["max_ack_pending"]) == ("agent-1", 16)
    with pytest.raises(ValueError, match="no subjects"):
        queue()


def test_a_work_queue_is_fed_by_the_broker_from_its_source_alone() -> None:
    config = stream_config("WK", source="IN", transform=S.class_transform, bytes_max=1)
    source, destination = S.class_transform
    assert config["sources"] == [{"name": "IN", "subject_transforms": [{"src": source, "dest": destination}]}]
    assert "subjects" not in config


def test_one_attempt_that_stalls_says_little_of_the_next() -> None:
    assert averaged_ms(0.0, 80.0) == 80.0
    assert averaged_ms(100.0, 200.0) == 110.0
    assert averaged_ms(100.0, 10_000.0) == 130.0
    average_ms = 10.0
    for _ in range(30):
        average_ms = averaged_ms(average_ms, 1000.0)
    assert average_ms > 500.0  # what is slow for good is soon known to be
