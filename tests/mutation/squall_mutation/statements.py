"""The operator that cosmic-ray lacks: a statement that is left out.

What a protocol forgets to do is what breaks it most: a write, an acknowledgement, an early return.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import parso
from cosmic_ray.operators.operator import Example, Operator
from parso.python.tree import ExprStmt, Keyword, KeywordStatement, PythonNode, ReturnStmt
from parso.tree import NodeOrLeaf, search_ancestor

Position = tuple[tuple[int, int], tuple[int, int]]


class LeaveOutStatement(Operator):
    """A call, an assignment to an attribute or a place, a return or a raise becomes ``pass``."""

    def mutation_positions(self, node: NodeOrLeaf) -> Iterator[Position]:
        if _is_left_out(node):
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        assert index == 0
        instead = parso.parse("pass").children[0]
        instead.prefix = node.get_first_leaf().prefix
        return instead

    @classmethod
    def examples(cls) -> Sequence[Example]:
        return (
            Example("def f():\n    g()\n    x = 1\n", "def f():\n    pass\n    x = 1\n"),
            Example("def f():\n    self.x = 1\n    return 1\n", "def f():\n    self.x = 1\n    pass\n", 1),
        )


class Provider:
    """What `session.toml` is tried with beside cosmic-ray's own operators."""

    def __iter__(self) -> Iterator[str]:
        return iter(("LeaveOutStatement",))

    def __getitem__(self, name: str) -> type[Operator]:
        return {"LeaveOutStatement": LeaveOutStatement}[name]


def _is_left_out(node: NodeOrLeaf) -> bool:
    if getattr(node.parent, "type", "") != "simple_stmt" or search_ancestor(node, "funcdef") is None:
        return False
    if isinstance(node, ExprStmt):
        target, operator = node.children[0], node.children[1]
        changes = getattr(operator, "value", "=") != "=" or target.type != "name"
        return changes and target.type != "testlist_star_expr" and operator.type != "annassign"
    if isinstance(node, Keyword):
        return node.value in ("return", "raise")
    if isinstance(node, ReturnStmt | KeywordStatement):
        return node.children[0].value in ("return", "raise", "del")
    return isinstance(node, PythonNode) and node.type in ("atom_expr", "power", "await")
