"""The border: names that may become subjects, and texts that cannot act on whoever reads them."""

from __future__ import annotations

import json
import re
import unicodedata

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from squall.bus.border import (
    NAME_LENGTH_MAX,
    check_name,
    disarmed,
    escaped,
    is_name,
    masked,
    printable,
)
from squall.bus.errors import InvalidNameError

ANY_TEXT = st.lists(
    st.one_of(
        st.text(st.characters(exclude_categories=()), max_size=20),
        st.sampled_from(["\x1b", "\x9b", "\u202e", "\u200b", "\r\n", "::error::", "##[", "\ud800"]),
    ),
    max_size=20,
).map("".join)
"""Every code point there is, lone surrogates included."""

BIDIRECTIONAL = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}

HOSTILE = [
    pytest.param("\x1b[2K\x1b[1Averdict  pass", id="erases a line"),
    pytest.param("\x1b]52;c;ZXZpbA==\x07", id="fills the clipboard"),
    pytest.param("\x9b2J", id="C1 control sequence"),
    pytest.param("\x90q\x9c", id="device control string"),
    pytest.param("a\u202eb\u2066c", id="turns the direction"),
    pytest.param("\u061c\u200e\u200f", id="direction marks"),
    pytest.param("a\u200bb\ufeffc\u2060", id="zero width"),
    pytest.param("a\u2028b\u2029c", id="ends lines"),
    pytest.param("\U000e0041\U000e007f", id="tags"),
    pytest.param("\r\n::error::pwned", id="command of a continuous integration"),
    pytest.param("\b\b\b\x00\x7f", id="moves back"),
    pytest.param("\ud800\udfff", id="surrogates"),
]


def acts(text: str) -> list[str]:
    """What in a text is not simply shown."""
    return [
        character
        for character in text
        if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
        or unicodedata.bidirectional(character) in BIDIRECTIONAL
        or character in "\u061c\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"
        or 0xE0000 <= ord(character) <= 0xE007F
    ]


@pytest.mark.parametrize("name", ["a", "0", "agent-1", "a-", "x" * NAME_LENGTH_MAX])
def test_a_name_is_taken_as_it_is(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "-a",
        "A",
        "a.b",
        "a b",
        "a*",
        ">",
        "a\n",
        "a\r\nPUB x 0",
        "ä",
        "a\x00",
        "é",
        "x" * (NAME_LENGTH_MAX + 1),
    ],
)
def test_what_is_no_name_is_refused_in_one_printable_sentence(name: str) -> None:
    assert not is_name(name)
    with pytest.raises(InvalidNameError) as refused:
        check_name(name, "job")
    assert str(refused.value).startswith("job ")
    assert acts(str(refused.value)) == []


@given(ANY_TEXT)
def test_only_what_the_rule_says_is_a_name(text: str) -> None:
    assert is_name(text) == (re.fullmatch(r"[a-z0-9][a-z0-9-]{0,39}", text) is not None)


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_hostile_is_left(text: str) -> None:
    for shown in (printable(text), masked(text), disarmed(masked(text))):
        assert acts(shown) == []
    assert "::error" not in printable(text)


@given(ANY_TEXT, st.integers(min_value=1, max_value=500))
def test_a_printable_text_is_one_line_within_its_length(text: str, length_max: int) -> None:
    shown = printable(text, length_max)
    assert acts(shown) == []
    assert len(shown) <= length_max
    assert len(shown.splitlines()) <= 1
    shown.encode()


@given(ANY_TEXT)
def test_a_masked_text_keeps_its_length(text: str) -> None:
    for lines in (False, True):
        shown = masked(text, lines=lines)
        assert len(shown) == len(text)
        assert set(acts(shown)) <= ({"\n"} if lines else set())
        shown.encode()
    assert len(disarmed(text)) == len(text)


@given(st.text(st.characters(exclude_categories=("C", "Zl", "Zp"), exclude_characters=":#"), max_size=100))
def test_an_ordinary_text_is_shown_as_it_is(text: str) -> None:
    ordinary = "".join(character for character in text if not acts(character))
    assert printable(ordinary) == masked(ordinary) == disarmed(ordinary) == ordinary


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("::error file=a::b", ": error file=a::b"),
        ("  ::add-mask::x", "  : add-mask: x"),
        ("::stop-commands::endtoken", ": stop-commands: endtoken"),
        ("##[group]x", "# [group]x"),
        ("x ##vso[task.setvariable]", "x # vso[task.setvariable]"),
        ("##teamcity[x]", "# teamcity[x]"),
        ("nats://[::1]:4222", "nats://[::1]:4222"),
        ("fe80::abcd:1", "fe80::abcd:1"),
        ("## heading", "## heading"),
        ("10:00:00", "10:00:00"),
    ],
)
def test_commands_for_continuous_integration_are_broken_and_addresses_are_not(text: str, shown: str) -> None:
    assert disarmed(text) == shown


@given(st.dictionaries(st.text(max_size=20), st.text(max_size=100), max_size=5))
def test_an_escaped_document_means_the_same_and_cannot_act(document: dict[str, str]) -> None:
    shown = escaped(msgspec.json.encode(document).decode())
    assert json.loads(shown) == document
    assert acts(shown) == []
    assert "::" not in shown
    assert "##" not in shown


def test_an_escaped_document_keeps_what_lies_beyond_sixteen_bits() -> None:
    document = ["\U000e0041", "\x9b", "\u202e", "::error::", "##[x]", "😀"]
    shown = escaped(msgspec.json.encode(document).decode())
    assert json.loads(shown) == document
    assert shown.isascii() is False  # what is shown well stays as it is
    assert acts(shown) == []
