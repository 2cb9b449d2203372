"""Draws some of all mutants by a seed: the same number of each family, each at a place of its own.

all mutants ─► by family ─► places in the order of the seed ─► one mutant a place, if it is another program
"""

from __future__ import annotations

import argparse
import ast
import random
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from cosmic_ray.ast import get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import MutationSpec, WorkItem

FAMILIES: Mapping[str, tuple[str, ...]] = {
    "a statement left out": ("squall/LeaveOutStatement",),
    "a condition turned round": ("core/AddNot", "core/ReplaceUnaryOperator_Delete_Not"),
    "and, or": ("core/ReplaceAndWithOr", "core/ReplaceOrWithAnd"),
    "a comparison": ("core/ReplaceComparisonOperator",),
    "arithmetic": ("core/ReplaceBinaryOperator", "core/ReplaceUnaryOperator"),
    "a number": ("core/NumberReplacer",),
    "true, false": ("core/ReplaceTrueWithFalse", "core/ReplaceFalseWithTrue"),
    "an exception not caught": ("core/ExceptionReplacer",),
    "a loop": ("core/ReplaceBreakWithContinue", "core/ReplaceContinueWithBreak", "core/ZeroIterationForLoop"),
    "a decorator left out": ("core/RemoveDecorator",),
}
"""Families of cosmic-ray's operators, by how their names begin. Numbers alone are a third of all places, and what
is drawn of each family alike says more of the code than what is drawn of all."""

Place = tuple[str, tuple[int, int], tuple[int, int]]


def family_of(operator: str) -> str:
    """The first family that has an operator."""
    return next(name for name, begins in FAMILIES.items() if operator.startswith(begins))


def drawn(items: Iterable[WorkItem], seed: int, each: int) -> Iterator[WorkItem]:
    """Some mutants of every family, or all that it has.

    Args:
        each: How many of a family.
    """
    families: dict[str, dict[Place, list[WorkItem]]] = {name: {} for name in FAMILIES}
    for item in sorted(items, key=_order):
        (mutation,) = item.mutations
        place = (str(mutation.module_path), mutation.start_pos, mutation.end_pos)
        families[family_of(mutation.operator_name)].setdefault(place, []).append(item)
    for name, places in families.items():
        chance = random.Random(f"{seed}/{name}")
        order = list(places.values())
        chance.shuffle(order)
        found = (chance.choice(those) for those in order)
        yield from _first(each, (item for item in found if _is_another_program(item.mutations[0])))


def _order(item: WorkItem) -> tuple[str, str, int]:
    (mutation,) = item.mutations
    return (str(mutation.module_path), mutation.operator_name, mutation.occurrence)


def _first(count: int, items: Iterator[WorkItem]) -> Iterator[WorkItem]:
    for _, item in zip(range(count), items, strict=False):
        yield item


def _is_another_program(mutation: MutationSpec) -> bool:
    """Whether it can be compiled, and differs in more than annotations, which nobody evaluates."""
    code = Path(mutation.module_path).read_text()
    operator = get_operator(mutation.operator_name)(**mutation.operator_args)
    mutated = mutate_code(code, operator, mutation.occurrence)
    try:
        return _without_annotations(mutated) != _without_annotations(get_ast(code).get_code())
    except SyntaxError:
        return False


def _without_annotations(code: str) -> str:
    tree = ast.parse(code)
    nothing = ast.Constant(None)
    for node in ast.walk(tree):
        if isinstance(node, ast.arg | ast.AnnAssign):
            node.annotation = nothing
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.returns = None
    return ast.dump(tree)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("all", type=Path, help="what `cosmic-ray init` made")
    parser.add_argument("out", type=Path, help="a session with what is drawn of it")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--each", type=int, required=True, help="how many of a family")
    asked = parser.parse_args()
    with use_db(asked.all, WorkDB.Mode.open) as source, use_db(asked.out) as target:
        target.clear()
        target.add_work_items(list(drawn(source.work_items, asked.seed, asked.each)))
        print(f"{target.num_work_items} of {source.num_work_items} mutants in {asked.out}")
