"""What packages bring is loaded where it is asked for; a broken one is a sentence and breaks nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from squall.chaos.doctor import findings
from squall.chaos.errors import FaultError
from squall.chaos.judge.checks import promises_of
from squall.chaos.mutants.catalogues import catalogue_of
from squall.services.cli.doctor import examine
from squall.services.errors import SpecError
from squall.services.packages import REMEDY
from squall.services.patterns import names, pattern_of

MODULE = """
from dataclasses import replace
from squall.chaos.judge.promise import Promises
from squall.services.patterns.hierarchical import PATTERN

TEXT = "a text"
UPPER = replace(PATTERN, name="Upper")
GOOD = replace(PATTERN, name="good")
NOWHERE = replace(PATTERN, name="no-role", roles={"agent": "nowhere.at_all"})
ROTTEN = replace(PATTERN, name="rotten-role", roles={"agent": "a_rotten_role"})
CHECKS = Promises(pattern="good", promises=())
"""

BRINGS = """
[squall.patterns]
no-import = nowhere:PATTERN
no-value = brings_a_lot:NOTHING
text = brings_a_lot:TEXT
other = brings_a_lot:UPPER
Upper = brings_a_lot:UPPER
hierarchical = brings_a_lot:TEXT
twice = brings_a_lot:TEXT
no-role = brings_a_lot:NOWHERE
rotten-role = brings_a_lot:ROTTEN
good = brings_a_lot:GOOD

[squall.checks]
hierarchical = brings_a_lot:TEXT
text = brings_a_lot:TEXT
other = brings_a_lot:CHECKS
good = brings_a_lot:CHECKS
ghost = brings_a_lot:CHECKS

[squall.mutants]
text = brings_a_lot:TEXT
"""


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two packages that bring much of which little can be used."""
    (tmp_path / "brings_a_lot.py").write_text(MODULE)
    (tmp_path / "a_rotten_role.py").write_text("POINTS = {\n")
    for package, brings in {"lots": BRINGS, "more": "[squall.patterns]\ntwice = brings_a_lot:TEXT\n"}.items():
        facts = tmp_path / f"{package}-1.dist-info"
        facts.mkdir()
        (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1\n")
        (facts / "entry_points.txt").write_text(brings)
    monkeypatch.syspath_prepend(tmp_path)
    promises_of.cache_clear()
    yield
    promises_of.cache_clear()


THERE_ARE = "there are hierarchical, star, mesh, ring, good, or name a file, for instance ./swarm.toml"
"""Of what can be run."""


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "no-import",
            "what lots brings as 'no-import' in squall.patterns cannot be loaded: ModuleNotFoundError",
        ),
        ("no-value", "what lots brings as 'no-value' in squall.patterns cannot be loaded: AttributeError"),
        ("text", "what lots brings as 'text' in squall.patterns is no Pattern: brings_a_lot:TEXT is a str"),
        ("other", "the pattern 'other' that lots brings calls itself 'Upper'"),
        ("Upper", "lots brings a pattern that cannot be used: its name 'Upper' cannot be used: use 1 to 40"),
        ("twice", "lots and more both bring 'twice' in squall.patterns"),
        ("ghost", "there is no pattern 'ghost'"),
    ],
)
def test_a_broken_pattern_is_one_sentence_where_it_is_asked_for(name: str, said: str) -> None:
    with pytest.raises(SpecError) as raised:
        pattern_of(name)
    assert str(raised.value).startswith(said)
    assert "\n" not in str(raised.value)
    assert raised.value.exit_code == 2
    assert raised.value.remedy == {"twice": "uninstall all of them but one", "ghost": THERE_ARE}.get(
        name, REMEDY
    )


def test_what_squall_brings_is_not_replaced_and_goes_on_working() -> None:
    assert pattern_of("hierarchical").name == "hierarchical"
    assert pattern_of("good").name == "good"
    assert names().count("hierarchical") == 1
    promises = promises_of("hierarchical")
    assert promises is not None
    assert promises.of("H1") is not None


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("text", "what lots brings as 'text' in squall.checks is no Promises"),
        ("other", "the promises that lots brings for 'other' are those of 'good'"),
    ],
)
def test_broken_promises_are_one_sentence_where_they_are_asked_for(name: str, said: str) -> None:
    with pytest.raises(SpecError) as raised:
        promises_of(name)
    assert str(raised.value).startswith(said)
    assert raised.value.remedy == REMEDY


def test_mutants_are_found_by_the_name_of_their_pattern() -> None:
    assert catalogue_of("hierarchical").pattern == "hierarchical"
    with pytest.raises(SpecError, match="is no Catalogue"):
        catalogue_of("text")
    with pytest.raises(FaultError, match="there are no mutants of good"):
        catalogue_of("good")


@pytest.mark.parametrize(
    ("name", "why"), [("no-role", "ModuleNotFoundError: "), ("rotten-role", "SyntaxError: ")]
)
def test_a_role_that_cannot_be_imported_says_so_with_a_remedy(name: str, why: str) -> None:
    said = f"the role agent of the pattern {name} cannot be imported: {why}"
    with pytest.raises(SpecError, match=said) as raised:
        pattern_of(name).points()
    assert raised.value.remedy == REMEDY


def test_the_doctor_tells_of_what_cannot_be_used_and_that_nothing_needs_it() -> None:
    found = {finding.what: finding for finding in [*examine(), *findings()]}
    patterns = (
        "no-import",
        "no-value",
        "text",
        "other",
        "Upper",
        "hierarchical",
        "twice",
        "no-role",
        "rotten-role",
    )
    broken = [*(f"pattern {name}" for name in patterns)]
    broken += [f"checks of {name}" for name in ("hierarchical", "text", "other", "ghost")]
    for what in broken:
        assert (found[what].ok, found[what].needed) == (False, False), what
        assert found[what].remedy, what
    assert found["pattern good"].found == found["checks of good"].found == "brought by lots"
    assert found["checks of ghost"].found == "lots brings them, and nobody that pattern"
