"""The catalogues of known-bad variants, by the pattern whose checks must catch them."""

from __future__ import annotations

import functools
import importlib.metadata
from collections.abc import Mapping

from squall.chaos.mutants.hierarchical.catalogue import CATALOGUE as HIERARCHICAL
from squall.chaos.mutants.mutant import Catalogue

GROUP = "squall.mutants"

BUILT_IN = (HIERARCHICAL,)
"""The catalogues of the patterns that Squall brings; one line a pattern."""


@functools.cache
def catalogues() -> Mapping[str, Catalogue]:
    """The catalogue of every pattern that has one; ours go before others'."""
    brought: dict[str, Catalogue] = {}
    for entry in importlib.metadata.entry_points(group=GROUP):
        value = entry.load()
        if not isinstance(value, Catalogue):
            raise TypeError(f"the entry point {entry.name} of {GROUP} is no Catalogue but {value!r}")
        brought[value.pattern] = value
    return brought | {ours.pattern: ours for ours in BUILT_IN}
