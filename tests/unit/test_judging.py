"""What a peer thinks of a proposal: what its own handler would do, or what the user's vote says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from squall.bus.ended import Done, Failed
from squall.bus.messages import RunTask
from squall.bus.vote_messages import Propose
from squall.services.errors import SpecError
from squall.services.handlers import Proposal, Task, Vote
from squall.services.handlers.loading import load, vote_of
from squall.services.handlers.python import PythonHandler
from squall.services.roles.judging import compared, returned

pytestmark = pytest.mark.anyio

BUY, SELL = b'{"side":"buy"}', b'{"side":"sell"}'


@pytest.mark.parametrize(
    ("said", "mine", "verdict"),
    [
        (Propose(epoch=1, effects=(BUY,)), Done((BUY,)), "yes"),
        (Propose(epoch=1, effects=(BUY,)), Done((SELL,)), "no"),
        (Propose(epoch=1, effects=(BUY,)), Done((BUY, SELL)), "no"),
        (Propose(epoch=1, effects=(BUY,)), Done((BUY,), b"x"), "no"),
        (Propose(epoch=1), Done(), "yes"),
        (Propose(epoch=1, effects=(BUY,)), Failed("it raised"), "abstain"),
        (Propose(epoch=1, dead=True, reason="it raised"), Failed("it raised"), "yes"),
        (Propose(epoch=1, dead=True, reason="it raised"), Done((BUY,)), "no"),
    ],
    ids=str,
)
def test_a_peer_says_yes_to_what_its_own_handler_would_have_done(
    said: Propose, mine: Done | Failed, verdict: str
) -> None:
    assert compared(said, mine).verdict == verdict


@pytest.mark.parametrize(
    ("value", "vote"),
    [
        (True, Vote("yes")),
        (False, Vote("no")),
        ("yes", Vote("yes")),
        ("abstain", Vote("abstain")),
        (Vote("no", "too large", 0.7), Vote("no", "too large", 0.7)),
        (Vote("no", "sure", 7.0), Vote("no", "sure", 1.0)),
        (None, Vote("abstain", "it did not say")),
    ],
    ids=str,
)
async def test_a_vote_of_ones_own_says_it_in_several_ways(value: Any, vote: Vote) -> None:
    handler = PythonHandler(lambda task, proposal: value, timeout_s=5, slots=1, stuck=lambda: None)
    task = RunTask(task="t", key="k", job="j")
    assert returned(await handler.run(task, 1, Proposal(peer="agent-1", attempt=1))) == vote


@pytest.mark.parametrize("said", [b"3", b'"maybe"', b"[]", b'{"verdict":"maybe"}', b"nonsense"])
def test_a_vote_that_cannot_be_read_is_none(said: bytes) -> None:
    vote = returned(Done((said,)))
    assert (vote.verdict, vote.confidence) == ("abstain", 0.0)
    assert "cannot be read" in vote.reason


def test_a_vote_that_fails_is_an_abstention_with_its_reason() -> None:
    assert returned(Failed("the handler raised KeyError")) == Vote(
        "abstain", "the handler raised KeyError", 0.0
    )


def test_the_vote_that_stands_beside_a_handler_is_found(tmp_path: Path) -> None:
    (tmp_path / "cautious.py").write_text(
        "def decide(task): return None\n"
        "def vote(task, proposal): return proposal.attempt == 1\n"
        "class Agent:\n"
        "    def decide(self, task): return None\n"
        "    def vote(self, task, proposal): return False\n"
        "agent = Agent()\n"
    )
    task = Task(id="t", key="k", job="j", number=1, attempt=1, deadline_s=0.0, body=b"")
    for name, verdict in [("decide", True), ("agent.decide", False)]:
        handler = f"{tmp_path / 'cautious.py'}:{name}"
        vote = vote_of(handler, load(handler))
        assert vote is not None
        assert vote(task, Proposal(peer="agent-2", attempt=1)) is verdict


def test_a_vote_of_the_wrong_arguments_is_refused_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "unlike.py").write_text("def decide(task): return None\ndef vote(task): return True\n")
    handler = f"{tmp_path / 'unlike.py'}:decide"
    with pytest.raises(SpecError, match="does not take two arguments"):
        vote_of(handler, load(handler))


def test_the_built_in_handler_votes_by_comparison() -> None:
    handler = "squall.services.trading.strategies:decide"
    assert vote_of(handler, load(handler)) is None
