"""Services as handlers: whatever one answers, or does not, is an outcome of its own task, in a sentence."""

from __future__ import annotations

import gzip
import itertools
import socket
import tracemalloc

import pytest
from tests.unit.answering_services import Seen, says, serving, twice
from tests.unit.ported import GOOD, handling, opened, task

from squall.bus.ended import Done, Ended, Failed, NotThere
from squall.services.errors import SpecError
from squall.services.handlers.kinds import load
from squall.services.handlers.statuses import RETRY_AFTER_MAX_S, retry_after_s

pytestmark = pytest.mark.anyio


async def test_an_answer_that_comes_twice_counts_once_and_is_not_anothers() -> None:
    """The second is on its way when the next task is asked for, and makes that attempt fail, and no more."""
    names = [f"t-{number}" for number in range(8)]
    async with serving(twice) as url, opened(handling(url)) as port:
        ended = [await port.run(task(name), 1) for name in names]
    failed = [place for place, each in enumerate(ended) if isinstance(each, Failed)]
    assert all(later - earlier > 1 for earlier, later in itertools.pairwise(failed))
    for name, each in zip(names, ended, strict=True):
        if isinstance(each, Failed):
            assert f"when it had been given '{name}'" in each.reason
            assert not each.final
        else:
            assert each == Done(GOOD)


async def test_nobody_there_is_no_attempt_until_somebody_is() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        number = held.getsockname()[1]
    async with opened(handling(f"http://127.0.0.1:{number}/decide")) as port:
        ended = await port.run(task(), 1)
        assert isinstance(ended, NotThere), ended
        assert port.health == f"it is not there: {ended.reason}"
        async with serving(says("204 No Content"), port=number):
            assert await port.run(task(), 1) == Done()
        assert port.health == ""


@pytest.mark.parametrize(
    ("status", "head", "after_s"),
    [
        ("429 X", "Retry-After: 7", 7.0),
        ("503 X", "Retry-After: 999999", RETRY_AFTER_MAX_S),
        ("425 X", "Retry-After: soon", 0.0),
        ("408 X", "X-Nothing: 1", 0.0),
    ],
)
async def test_who_asks_to_be_left_alone_is_asked_again_no_sooner(
    status: str, head: str, after_s: float
) -> None:
    async with serving(says(status, b"", head)) as url, opened(handling(url)) as port:
        ended = await port.run(task(), 1)
    assert isinstance(ended, Failed)
    assert (ended.final, ended.after_s) == (False, after_s)


def test_a_date_is_as_good_as_seconds() -> None:
    assert retry_after_s("Thu, 01 Jan 1970 00:01:00 GMT", 50.0) == 10.0
    assert retry_after_s("Thu, 01 Jan 1970 00:01:00 GMT", 70.0) == 0.0


async def test_a_request_has_the_task_a_key_for_repeats_and_the_headers_of_the_variables(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AGENT_TOKEN", "Bearer secret")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    seen = Seen()
    async with (
        serving(says("204 No Content"), seen) as url,
        opened(handling(url, headers={"Authorization": "AGENT_TOKEN"})) as port,
    ):
        ended: Ended = await port.run(task(), 2)
    assert ended == Done()
    assert seen.asked == [
        {
            "id": "t-1",
            "key": "bad",
            "job": "j",
            "number": 7,
            "attempt": 2,
            "deadline_s": 0.0,
            "body": {"a": 1},
        }
    ]
    head = seen.heads[0].lower()
    assert "idempotency-key: t-1\r\n" in head
    assert "authorization: bearer secret\r\n" in head


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("http:", "names nothing"),
        ("http://", "is no URL"),
        ("http://127.0.0.1:99999/", "is no URL"),
        ("http://agent:secret@127.0.0.1/", "credentials do not belong in a URL, which is logged"),
        ("ftp://127.0.0.1/x", "is of no kind that there is: ftp:"),
        ("htp://127.0.0.1/x", "is of no kind that there is: htp:"),
    ],
)
def test_what_cannot_work_is_one_sentence(name: str, said: str) -> None:
    with pytest.raises(SpecError) as raised:
        load(handling(name))
    assert said in str(raised.value)
    assert "secret" not in f"{raised.value} {raised.value.remedy}"
    assert raised.value.remedy


def test_a_header_whose_variable_is_not_set_is_told_before_anything_starts() -> None:
    with pytest.raises(SpecError, match="is to come from the variable NO_SUCH_KEY, which is not set"):
        load(handling("http://127.0.0.1:8080/", headers={"Authorization": "NO_SUCH_KEY"}))


async def test_a_cookie_is_not_sent_back() -> None:
    """One that is not ASCII can be no header, and would end every later attempt in an error of httpx's."""
    seen = Seen()
    cookie = says("204 No Content", b"", "Set-Cookie: a=\u00e9; Path=/")
    async with serving(cookie, seen) as url, opened(handling(url)) as port:
        assert [await port.run(task(), 1) for _ in range(2)] == [Done(), Done()]
    assert not any("cookie" in head.lower() for head in seen.heads)


async def test_an_answer_that_unpacks_to_very_much_is_read_no_further_than_any() -> None:
    bomb = gzip.compress(b" " * 60_000_000)
    async with serving(says("200 OK", bomb, "Content-Encoding: gzip")) as url, opened(handling(url)) as port:
        tracemalloc.start()
        ended = await port.run(task(), 1)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert isinstance(ended, Failed), ended
    assert most < 30_000_000
