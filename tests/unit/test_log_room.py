"""What the log of votes keeps for open tasks: whatever is let in can be decided, and trimmed then."""

from __future__ import annotations

import pytest

from squall.bus.codec import encode
from squall.bus.subjects import Subjects
from squall.bus.vote_messages import Close, Decide, Propose, Vote
from squall.bus.vote_subjects import VoteSubjects
from squall.services.handlers.outcome import RESULT_BYTES_MAX
from squall.services.patterns import PATTERNS, parts
from squall.services.patterns.mesh import LOG_BYTES, MeshSpec, streams
from squall.services.roles.log_trimming import FULL
from squall.services.rules import log_room
from squall.services.rules.log_room import (
    INPUT_SHARE,
    OPEN_SHARE,
    SPARE_SHARE,
    has_room,
    input_bytes_max,
    need_bytes,
    open_max,
    too_large,
)

BROKER_BYTES = 30 + 120
"""What nats-server stores beside subject and data, and the longest headers that a peer writes."""


SMALL = 1024


@pytest.mark.parametrize(
    ("log_bytes", "peers", "result_bytes", "most"),
    [
        (350_000, 5, SMALL, 5),
        (1024**3, 5, SMALL, 16_611),
        (1024**3, 5, MeshSpec().result_bytes_max, 4197),
        (1024**3, 9, MeshSpec().result_bytes_max, 2332),
        (1024**3, 5, RESULT_BYTES_MAX, 77),
        (10_000, 5, SMALL, 1),
        (1, 9, RESULT_BYTES_MAX, 1),
    ],
)
def test_so_many_tasks_may_be_open(log_bytes: int, peers: int, result_bytes: int, most: int) -> None:
    assert open_max(log_bytes, peers, result_bytes) == most


@pytest.mark.parametrize("result_bytes", [SMALL, RESULT_BYTES_MAX])
@pytest.mark.parametrize("peers", [3, 5, 9])
@pytest.mark.parametrize("log_bytes", [100_000, 10**8, 1024**3])
def test_whatever_is_let_in_has_room_to_be_decided(log_bytes: int, peers: int, result_bytes: int) -> None:
    fullest = 1 - OPEN_SHARE - INPUT_SHARE - SPARE_SHARE  # from here on nothing more is let in
    assert has_room(fullest)
    assert not has_room(fullest + 1e-9)
    open_tasks = open_max(log_bytes, peers, result_bytes)
    needed = open_tasks * need_bytes(peers, result_bytes) if open_tasks > 1 else 0
    most = fullest * log_bytes + needed + input_bytes_max(log_bytes)
    assert most <= (1 - SPARE_SHARE) * log_bytes


def test_once_all_that_is_open_is_over_there_is_room_again() -> None:
    # Trimming begins before nothing more is let in, and leaves no more than what may still be open.
    assert FULL < 1 - OPEN_SHARE - INPUT_SHARE - SPARE_SHARE
    assert has_room(OPEN_SHARE + INPUT_SHARE + SPARE_SHARE)


def test_a_result_has_a_bound_and_the_sentence_says_which_field_raises_it() -> None:
    assert not too_large(8192, 8192)
    assert too_large(8193, 8192) == (
        "the result is too large: 8,193 bytes, and there may be 8,192; raise result_bytes_max in swarm.toml"
    )


def test_what_a_peer_may_say_of_an_attempt_is_no_more_than_is_counted() -> None:
    votes = VoteSubjects(Subjects("a-swarm-of-traders"))
    big, task = 2**31, "t-0123456789"
    written = {
        votes.proposal("agent-9", task, 2): Propose(epoch=99, reason="r" * 80),
        votes.vote("agent-9", task, 2): Vote(
            epoch=99,
            proposal=big,
            verdict="abstain",
            reason="r" * 80,
            confidence=0.123456,
            signature=b"s" * 64,
        ),
        votes.closing("agent-9", task, 2): Close(proposal=big, why="its deadline is over"),
        votes.decision("agent-9", "key", task, 2): Decide(outcome="approve", epoch=99, proposal=big, at=big),
    }
    took = sum(len(subject) + len(encode(record)) + BROKER_BYTES for subject, record in written.items())
    assert log_room.EACH_BYTES / 2 < took <= log_room.EACH_BYTES


@pytest.mark.parametrize(("tasks", "log_bytes"), [(1000, LOG_BYTES[0]), (10**7, LOG_BYTES[2])])
def test_the_ingress_of_a_mesh_is_no_wider_than_its_log_has_room_for(tasks: int, log_bytes: int) -> None:
    spec = MeshSpec(agents=9, tasks=tasks, joins_at_s=(1.0,), ingress_max=1_000_000)
    ingress, log = streams(spec)[:2]
    assert log["max_bytes"] == log_bytes
    assert ingress["max_msgs"] == open_max(log_bytes, 10, spec.result_bytes_max)
    assert ingress["max_bytes"] == min(input_bytes_max(log_bytes), parts.INGRESS_BYTES_MAX)
    assert streams(MeshSpec())[0]["max_msgs"] == MeshSpec().ingress_max


@pytest.mark.parametrize("name", PATTERNS)
def test_registers_stay_and_have_a_bound(name: str) -> None:
    """One that were removed could be written twice: in every pattern they stay, and refuse when full."""
    pattern = PATTERNS[name]
    for tasks in (1, 10**7):
        spec = pattern.spec(pattern=name, agents=4, tasks=tasks)
        made = {config["name"]: config for config in pattern.streams(spec)}
        registers = made[Subjects(spec.swarm).stream("RES")]
        assert 512 * 1024**2 <= registers["max_bytes"] <= 12 * 1024**3
        assert (registers["discard"], registers["deny_delete"], registers["deny_purge"]) == (
            "new",
            True,
            True,
        )
        assert "max_age" not in registers
