"""The catalogues of known-bad variants, by the pattern whose checks must catch them.

A package brings one for a pattern of its own by the entry point group ``squall.mutants``: its name is the
pattern's, and its value is a `Catalogue`.
"""

from __future__ import annotations

from squall.chaos.errors import FaultError
from squall.chaos.mutants.hierarchical.catalogue import CATALOGUE as HIERARCHICAL
from squall.chaos.mutants.mesh.catalogue import CATALOGUE as MESH
from squall.chaos.mutants.mutant import Catalogue
from squall.chaos.mutants.ring.catalogue import CATALOGUE as RING
from squall.chaos.mutants.star.catalogue import CATALOGUE as STAR
from squall.services import packages

GROUP = "squall.mutants"

BUILT_IN = (HIERARCHICAL, STAR, MESH, RING)
"""The catalogues of the patterns that Squall brings; one line a pattern."""


def catalogue_of(pattern: str) -> Catalogue:
    """The known-bad variants of a pattern's services.

    Raises:
        FaultError: There are none.
        SpecError: The package that brings them is broken.
    """
    ours = {catalogue.pattern: catalogue for catalogue in BUILT_IN}
    found = ours.get(pattern) or packages.brought(GROUP, pattern, Catalogue)
    if found is None:
        known = [*ours, *packages.names_in(GROUP)]
        raise FaultError(f"there are no mutants of {pattern}", f"there are of {', '.join(known)}")
    return found
