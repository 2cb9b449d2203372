"""Headers that are made from effects: what may stand in one, and what comes of it."""

from __future__ import annotations

import pytest

from squall.services.rules.header_templates import UnfilledError, template

EFFECT = {
    "symbol": "AAPL",
    "n": 3,
    "price": 1.5,
    "live": True,
    "leg": {"side": "buy"},
    "none": None,
    "list": [1],
}
VARIABLES = {"TOKEN": "abc"}


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("plain", "plain"),
        ("", ""),
        ("{key}", "t-1-0"),
        ("squall-{key}-x", "squall-t-1-0-x"),
        ("{effect.symbol}/{effect.n}", "AAPL/3"),
        ("{effect.price} {effect.live}", "1.5 true"),
        ("{effect.leg.side}", "buy"),
        ("Bearer {env.TOKEN}", "Bearer abc"),
        ("{{{key}}}", "{t-1-0}"),
    ],
)
def test_a_name_in_braces_stands_for_what_is_there(text: str, made: str) -> None:
    assert template(text).fill("t-1-0", EFFECT, VARIABLES) == made


@pytest.mark.parametrize(
    ("text", "effect", "why"),
    [
        ("{effect.side}", EFFECT, "is made of {effect.side}, which this effect has not"),
        ("{effect.leg.x}", EFFECT, "is made of {effect.leg.x}, which this effect has not"),
        ("{effect.symbol.x}", EFFECT, "which this effect has not"),
        ("{effect.none}", EFFECT, "which is neither a text nor a number"),
        ("{effect.list}", EFFECT, "which is neither a text nor a number"),
        ("{effect.leg}", EFFECT, "which is neither a text nor a number"),
        ("{effect.a}", [1], "which this effect has not"),
        ("{effect.a}", None, "which this effect has not"),
        ("{effect.a}", {"a": "x\r\nX-Other: y"}, "would be what no header can be"),
        ("{effect.a}", {"a": "é"}, "would be what no header can be"),
        ("{effect.a}", {"a": " x"}, "would be what no header can be"),
        ("{effect.a}", {"a": "x" * 2001}, "would be what no header can be"),
    ],
)
def test_an_effect_of_which_it_cannot_be_made_is_told_of(text: str, effect: object, why: str) -> None:
    with pytest.raises(UnfilledError) as caught:
        template(text).fill("k", effect, VARIABLES)
    assert why in str(caught.value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "has a brace without its other"),
        ("a}b", "has a brace without its other"),
        ("{}", "names {}"),
        ("{symbol}", "there are {key}, {effect.FIELD} and {env.NAME}"),
        ("{effect}", "names {effect}"),
        ("{effect.}", "names {effect.}"),
        ("{key.x}", "names {key.x}"),
        ("{env.A.B}", "names {env.A.B}"),
        ("{key!r}", "names {key}"),
        ("{key:>100000000}", "names {key}"),
        ("{effect.__class__[0]}", ""),
        ("x" * 2001, "has more than 2,000 characters"),
    ],
)
def test_what_is_no_template_is_told_of(text: str, why: str) -> None:
    if not why:  # a field of that name, which no effect has: nothing is looked up but what JSON holds
        with pytest.raises(UnfilledError, match="this effect has not"):
            template(text).fill("k", EFFECT, VARIABLES)
        return
    with pytest.raises(ValueError, match=r"has|names") as caught:
        template(text)
    assert why in str(caught.value)


def test_what_it_names_is_known_before_there_is_an_effect() -> None:
    made = template("{env.A} {env.B} {env.A}")
    assert made.variables == {"A", "B"}
    assert not made.is_of_one_effect
    assert template("{env.A} {key}").is_of_one_effect
    assert template("{effect.x}").is_of_one_effect
