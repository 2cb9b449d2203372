"""README has a section for each thing that a newcomer looks for; an edit of one has dropped three others."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

README = (Path(__file__).parents[2] / "README.md").read_text()


@pytest.mark.parametrize(
    "section",
    [
        "Two commands",
        "The picture",
        "Patterns",
        "Your own handler",
        "A pattern of your own",
        "Faults",
        "Simulation",
        "Targets",
        "How to read a report",
        "Speed",
        "How far it scales",
        "What is trusted",
        "Limits",
        "Development",
    ],
)
def test_a_section_is_there_once_and_says_something(section: str) -> None:
    found = re.findall(rf"^## {section}\n(.*?)(?=^## |\Z)", README, re.MULTILINE | re.DOTALL)
    assert len(found) == 1
    assert len(found[0].split()) > 20
