"""Whose requests Toxiproxy's log tells of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from squall.chaos.inject.toxiproxy.access import Access


def wrote(path: Path, *lines: Any) -> None:
    with path.open("a") as log:
        for line in lines:
            log.write((line if isinstance(line, str) else json.dumps(line)) + "\n")


def request(agent: str, method: str = "GET", url: str = "/proxies") -> dict[str, str]:
    return {"level": "debug", "method": method, "url": url, "user_agent": agent}


@pytest.mark.parametrize(
    ("public", "method", "noticed"),
    [
        (False, "GET", True),
        (False, "DELETE", True),
        (True, "GET", False),
        (True, "POST", True),
        (True, "DELETE", True),
        (True, "PATCH", True),
    ],
)
def test_a_strangers_request_is_noticed_and_a_look_at_a_port_that_was_named_is_none(
    public: bool, method: str, noticed: bool, tmp_path: Path
) -> None:
    access = Access(tmp_path / "log", public=public)
    wrote(tmp_path / "log", request("curl/8", method, "/proxies/x\x1b[2J"))
    found = access.strangers()
    assert found == [rf"somebody else asked Toxiproxy: {method} /proxies/x\x1b[2J"] * noticed
    assert access.strangers() == []


def test_ours_are_not_noticed_and_who_uses_our_name_is(tmp_path: Path) -> None:
    access = Access(tmp_path / "log", public=False)
    for _ in range(3):
        access.sending()
    wrote(tmp_path / "log", *[request(access.agent, "POST")] * 3)
    assert access.strangers() == []
    wrote(tmp_path / "log", request(access.agent, "DELETE"))
    assert access.strangers() == ["Toxiproxy was asked 1 times in the harness's name"]
    assert access.strangers() == []


def test_what_is_no_line_about_a_request_says_nothing(tmp_path: Path) -> None:
    access = Access(tmp_path / "log", public=False)
    about_a_connection = {"level": "warn", "method": "write", "err": "broken pipe"}
    wrote(
        tmp_path / "log", "", "{", "[]", "7", "[" * 10_000, about_a_connection, {"message": "Started proxy"}
    )
    with (tmp_path / "log").open("a") as log:
        log.write('{"method":"DELETE","url":"/pro')
    assert access.strangers() == []
    wrote(tmp_path / "log", 'xies/a","user_agent":"curl/8"}')
    assert access.strangers() == ["somebody else asked Toxiproxy: DELETE /proxies/a"]


def test_a_log_that_was_cut_is_noticed(tmp_path: Path) -> None:
    access = Access(tmp_path / "log", public=False)
    wrote(tmp_path / "log", {"message": "Started proxy"}, {"message": "Started proxy"})
    assert access.strangers() == []
    (tmp_path / "log").write_text("")
    assert access.strangers() == ["Toxiproxy's log was cut, which tells who asked it"]
