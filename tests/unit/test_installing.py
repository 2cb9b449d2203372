"""The remedy for a missing extra is a command that can be typed, wherever Squall came from."""

from __future__ import annotations

from typing import Any

import pytest

from squall.services.installing import _source, command_for


@pytest.mark.parametrize(
    ("direct", "source"),
    [
        ({}, "'squall[chaos]'"),
        ({"url": "file:///home/me/squall", "dir_info": {"editable": True}}, "-e '/home/me/squall[chaos]'"),
        ({"url": "file:///home/me/squall", "dir_info": {}}, "'/home/me/squall[chaos]'"),
        (
            {"url": "file:///tmp/my%20wheels/squall-0.1.0-py3-none-any.whl", "archive_info": {}},
            "'/tmp/my wheels/squall-0.1.0-py3-none-any.whl[chaos]'",
        ),
        (
            {"url": "https://example.org/squall", "vcs_info": {"vcs": "git"}},
            "'squall[chaos] @ git+https://example.org/squall'",
        ),
        (
            {"url": "https://example.org/squall.whl", "archive_info": {}},
            "'squall[chaos] @ https://example.org/squall.whl'",
        ),
    ],
)
def test_an_extra_comes_from_where_squall_came_from(direct: dict[str, Any], source: str) -> None:
    assert _source(direct, "chaos") == source


def test_this_installation_can_be_named() -> None:
    assert command_for("chaos").startswith("uv pip install ")
    assert "[chaos]" in command_for("chaos")
