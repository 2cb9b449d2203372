"""A wheel, drawn from a topology's data: who leads in the middle, whoever runs handlers round it. Pure.

agent-1   agent-2
      ╲   ╱              towards the middle what an agent asks for, through a stream;
agent-3 ─ hub ─ agent-4  from the middle what it is told, directly
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from squall.bus.topology.link import Node
from squall.bus.topology.model import Topology
from squall.chaos.tell.page.frame import NARROW, drawing
from squall.chaos.tell.page.markup import Markup, el

SPOKES_MAX = 24
"""Nodes round the middle that are drawn; beyond, the page is too small for them."""

BOX, TITLE, NAME = 100.0, 26.0, 17.0
APART = 4.0
"""Half of what lies between the two lines of a spoke."""

Point = tuple[float, float]


def is_wheel(graph: Topology) -> bool:
    """Whether a topology is drawn so, and can be."""
    return graph.layout == "wheel" and bool(middle(graph)) and bool(_spokes(graph))


def middle(graph: Topology) -> Sequence[Node]:
    """The nodes in the middle: those that speak with all who run handlers."""
    spokes = {node.role for node in _spokes(graph)}
    roles = {link.source for link in graph.links if link.is_spoken and link.target in spokes}
    return [node for node in graph.nodes if node.role in roles]


def _spokes(graph: Topology) -> Sequence[Node]:
    return [node for node in graph.nodes if node.isolated]


def wheel(graph: Topology, width: float) -> Markup:
    """The drawing of a topology that `is_wheel`."""
    hubs, spokes = middle(graph), _spokes(graph)
    shown = spokes[:SPOKES_MAX]
    across = min(width / 2 - BOX / 2 - 4, 330.0)
    along = max(110.0, 22.0 * len(shown))
    height = TITLE + NAME * len(hubs)
    center = (width / 2, along + TITLE)
    lines: list[Markup] = []
    boxes = [box(center, height, hubs[0].role, [node.name for node in hubs])]
    for place, spoke in enumerate(shown):
        angle = 2 * math.pi * (place + 0.5) / len(shown) - math.pi / 2
        at = (center[0] + across * math.cos(angle), center[1] + along * math.sin(angle))
        lines += _spoke(at, center, height)
        boxes.append(box(at, TITLE, spoke.name, []))
    more = f", and {len(spokes) - len(shown)} more" if len(spokes) > len(shown) else ""
    about = (
        f"{', '.join(node.name for node in hubs)} in the middle of {', '.join(n.name for n in shown)}{more}"
    )
    size = 2 * (along + TITLE)
    return drawing([*lines, *boxes], width, size, about, narrow=width <= NARROW)


def _spoke(at: Point, center: Point, height: float) -> list[Markup]:
    """The two lines of a spoke: what it asks for, and what it is told."""
    length = math.dist(at, center)
    heading = ((center[0] - at[0]) / length, (center[1] - at[1]) / length)
    found: list[Markup] = []
    for kind, side in (("link", 1.0), ("link direct", -1.0)):
        shift = (-heading[1] * APART * side, heading[0] * APART * side)
        back = (-heading[0], -heading[1])
        outer, inner = to_border(heading, shift, TITLE), to_border(back, shift, height)
        start = (at[0] + heading[0] * outer + shift[0], at[1] + heading[1] * outer + shift[1])
        end = (center[0] - heading[0] * inner + shift[0], center[1] - heading[1] * inner + shift[1])
        if kind == "link":
            found += arrow(kind, start, end)
        else:
            found += arrow(kind, end, start)
    return found


def to_border(heading: Point, shift: Point, height: float) -> float:
    """How far it is, from a point beside the middle of a box, to its border."""
    ways = [
        (half - math.copysign(aside, toward * aside)) / abs(toward)
        for toward, aside, half in zip(heading, shift, (BOX / 2, height / 2), strict=True)
        if abs(toward) > 1e-9
    ]
    return min(ways)


def arrow(kind: str, start: Point, end: Point) -> list[Markup]:
    """A line with a tip at its end."""
    length = math.dist(start, end) or 1.0
    u, v = (end[0] - start[0]) / length, (end[1] - start[1]) / length
    left = f"{end[0] - 8 * u - 4 * v:.1f} {end[1] - 8 * v + 4 * u:.1f}"
    right = f"{end[0] - 8 * u + 4 * v:.1f} {end[1] - 8 * v - 4 * u:.1f}"
    tip = f"{end[0]:.1f} {end[1]:.1f}"
    return [
        el("path", class_=kind, d=f"M{start[0]:.1f} {start[1]:.1f}L{tip}"),
        el("path", class_=f"tip {kind}", d=f"M{tip}L{left}L{right}Z"),
    ]


def box(at: Point, height: float, title: str, names: Sequence[str]) -> Markup:
    """A role or a node, and the names below."""
    x, top = at[0], at[1] - height / 2
    shape = {"x": x - BOX / 2, "y": top, "width": BOX, "height": height}
    return el(
        "g",
        el("rect", class_="node", rx=4.0, **shape),
        el("text", title, class_="title node", x=x, y=top + 18, text_anchor="middle"),
        *(
            el("text", name, x=x, y=top + 35 + NAME * place, text_anchor="middle")
            for place, name in enumerate(names)
        ),
    )
