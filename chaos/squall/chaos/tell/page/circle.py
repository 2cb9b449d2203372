"""A circle, drawn from a topology's data: equal nodes round the log that all of them write and hear. Pure.

agent-1 ┄┄ agent-2
  ┊  ╲    ╱  ┊           dashed: who has a link with whom
  ┊   log    ┊           to and from the middle: what each stores, and what all hear
agent-4 ┄┄ agent-3
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

from squall.bus.topology.link import Node, is_plane
from squall.bus.topology.model import Topology
from squall.chaos.tell.page.frame import NARROW, drawing
from squall.chaos.tell.page.markup import Markup, el
from squall.chaos.tell.page.wheel import TITLE, Point, arrow, box, to_border

PEERS_MAX = 24
"""Nodes of the circle that are drawn; beyond, the page is too small for them."""


def is_circle(graph: Topology) -> bool:
    """Whether a topology is drawn so, and can be."""
    return graph.layout == "circle" and len(_peers(graph)) > 0 and bool(heard_by_all(graph))


def heard_by_all(graph: Topology) -> Sequence[str]:
    """The streams that the nodes of the circle both write and hear, or ask."""
    peers = _peers(graph)
    written = {
        link.target for link in graph.links if is_plane(link.target) and {*graph.at(link.source)} >= {*peers}
    }
    taken = {
        link.source for link in graph.links if link.by == "fetch" and {*graph.at(link.target)} >= {*peers}
    }
    return sorted(written & taken)


def _peers(graph: Topology) -> Sequence[Node]:
    return [node for node in graph.nodes if node.isolated]


def pairs(graph: Topology) -> Iterator[tuple[str, str]]:
    """Nodes of the circle that have a link with each other, each pair once."""
    linked = {
        (a.name, b.name)
        for link in graph.links
        if link.is_spoken
        for a, b in itertools.product(graph.at(link.source), graph.at(link.target))
    }
    for a, b in itertools.combinations([node.name for node in _peers(graph)], 2):
        if (a, b) in linked or (b, a) in linked:
            yield a, b


def circle(graph: Topology, width: float) -> Markup:
    """The drawing of a topology that `is_circle`."""
    peers = _peers(graph)
    shown = peers[:PEERS_MAX]
    across = min(width / 2 - 54, 330.0)
    along = max(120.0, 22.0 * len(shown))
    center = (width / 2, along + TITLE)
    at: dict[str, Point] = {}
    for place, peer in enumerate(shown):
        angle = 2 * math.pi * place / len(shown) - math.pi / 2
        at[peer.name] = (center[0] + across * math.cos(angle), center[1] + along * math.sin(angle))
    between = list(pairs(graph))
    lines = [
        el("path", class_="link direct", d=f"M{_point(at[a])}L{_point(at[b])}")
        for a, b in between
        if a in at and b in at
    ]
    for where in at.values():
        lines += _spoke(where, center)
    middle = ", ".join(heard_by_all(graph))
    boxes = [box(center, TITLE, middle, []), *(box(where, TITLE, name, []) for name, where in at.items())]
    more = f", and {len(peers) - len(shown)} more" if len(peers) > len(shown) else ""
    about = (
        f"{', '.join(at)}{more} round {middle}, which each writes and all hear; "
        f"{len(between)} of {math.comb(len(peers), 2)} pairs are linked"
    )
    return drawing([*lines, *boxes], width, 2 * (along + TITLE), about, narrow=width <= NARROW)


def _spoke(at: Point, center: Point) -> list[Markup]:
    """The line between a node and the log, with a tip at both ends."""
    length = math.dist(at, center)
    heading = ((center[0] - at[0]) / length, (center[1] - at[1]) / length)
    border = to_border(heading, (0.0, 0.0), TITLE)
    outer = (at[0] + heading[0] * border, at[1] + heading[1] * border)
    inner = (center[0] - heading[0] * border, center[1] - heading[1] * border)
    return [*arrow("link", outer, inner), *arrow("link", inner, outer)]


def _point(at: Point) -> str:
    return f"{at[0]:.1f} {at[1]:.1f}"
