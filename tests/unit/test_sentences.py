"""What is told begins with a capital letter, and the names of nodes and files keep their small ones."""

from __future__ import annotations

import pytest

from squall.services.sentences import sentence


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("no task was accepted", "No task was accepted."),
        ("no task was accepted.", "No task was accepted."),
        ("5 tasks were lost", "5 tasks were lost."),
        ("did you mean price?", "Did you mean price?"),
        ("refused: none", "Refused: none."),
        ("the fail-over took long", "The fail-over took long."),
        ("fail-over took long", "Fail-over took long."),
        ("coordinator-2 took over", "coordinator-2 took over."),
        ("agent-1, agent-3: held up", "agent-1, agent-3: held up."),
        ("gateway was ended", "gateway was ended."),
        ("gateways were ended", "Gateways were ended."),
        ("history.jsonl line 3 is malformed", "history.jsonl line 3 is malformed."),
        ("runs/x holds nothing", "runs/x holds nothing."),
        ("agent.committed was never reached", "agent.committed was never reached."),
    ],
)
def test_a_sentence_leaves_names_as_they_are(text: str, told: str) -> None:
    assert sentence(text) == told
