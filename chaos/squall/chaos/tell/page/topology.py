"""Nodes and links, drawn from a topology's data: layered, what goes forward straight, the rest around. Pure.

producer ─► IN ─► coordinator ─► JOB ─► WK ─► agent ─► …        across a wide page, down a narrow one, and
                      ╰───────── answers, heartbeats ─╯         down both where there are too many layers
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from squall.bus.topology.link import Link, Node
from squall.bus.topology.model import Topology
from squall.chaos.tell.page.frame import GLYPH, NARROW, drawing
from squall.chaos.tell.page.markup import Markup, el
from squall.services.patterns.pattern import VENUE

GATEWAY = "gateway"
"""The role that alone speaks to the venue."""

BROKER = "broker: holds the streams, and carries every line but the one to the venue"
BROKER_BRIEF = "broker: carries all but orders"

NAMES_MAX = 6
"""Nodes of one role that are named."""

BOX = 116.0
"""How wide a box is, where there is room for it."""

BOX_LEAST = 72.0
"""With less a box has no room for its name."""

TITLE, NAME = 26.0, 17.0
SIDE_GAP = 18.0
LAYER_GAP = 24.0
"""Between two layers at least."""

TRACK = 20.0
"""Between two tracks beside each other, where there is room for it."""

TRACKS_LEAST = 60.0
"""What all tracks together have at least beside the boxes of a narrow page."""

PORT = 12.0
"""Between two links that leave a box on one side."""


@dataclass(frozen=True, slots=True)
class Box:
    """A role with its nodes, one node, or a stream."""

    name: str
    is_stream: bool
    members: tuple[str, ...] = ()

    @property
    def height(self) -> float:
        return TITLE + NAME * len(self.lines)

    @property
    def lines(self) -> tuple[str, ...]:
        """The nodes' names, unless there is one that is called as its role is."""
        if self.members in ((), (self.name,)):
            return ()
        more = len(self.members) - NAMES_MAX
        return self.members if more <= 0 else (*self.members[:NAMES_MAX], f"and {more} more")


@dataclass(frozen=True, slots=True)
class Edge:
    """All links from one box to another."""

    source: str
    target: str
    notes: tuple[str, ...]
    direct: bool


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a box is: ``along`` the layers and ``across`` them, its middle and half its size each."""

    along: float
    across: float
    half_along: float
    half_across: float


def topology(graph: Topology, width: float) -> Markup:
    """The drawing of a topology that has links, with the broker, and the venue."""
    graph = with_venue(graph)
    boxes, edges = boxes_of(graph), edges_of(graph)
    layer = layers([box.name for box in boxes], edges)
    stacked: list[list[Box]] = [[] for _ in range(1 + max(layer.values(), default=0))]
    for box in boxes:
        stacked[layer[box.name]].append(box)
    down = width <= NARROW or _box_width(stacked, width, down=False) < BOX_LEAST
    wide = _box_width(stacked, width, down=down)
    spots = _spots(stacked, width, wide, down=down)
    straight = [edge for edge in edges if layer[edge.target] - layer[edge.source] == 1]
    around = [edge for edge in edges if layer[edge.target] - layer[edge.source] != 1]
    pen = _Pen(down=down)
    for edge in straight:
        pen.straight(spots[edge.source], spots[edge.target], edge)
    routes = [
        (side, _tracks(spots, [edge for edge in around if edge.direct is direct]))
        for side, direct in ((-1, False), (1, True))
    ]
    apart = _track_gap(spots, [tracks for _, tracks in routes], width) if down else TRACK
    for side, tracks in routes:
        _route(pen, spots, tracks, side, apart)
    for box in boxes:
        pen.box(box, spots[box.name], wide)
    swarm = [spot for name, spot in spots.items() if name != VENUE]
    pen.broker(
        min(spot.along - spot.half_along for spot in swarm),
        max(spot.along + spot.half_along for spot in swarm),
    )
    about = f"Topology {graph.pattern}: " + ", ".join(f"{edge.source} to {edge.target}" for edge in edges)
    return pen.drawing(width, about)


def with_venue(graph: Topology) -> Topology:
    """A topology with the venue, to whom the gateway speaks past the broker, so that no right tells of it."""
    if not graph.of_role(GATEWAY) or graph.of_role(VENUE):
        return graph
    link = Link(GATEWAY, VENUE, "HTTP", "sends orders; the venue answers")
    return replace(graph, nodes=(*graph.nodes, Node(VENUE, VENUE)), links=(*graph.links, link))


def boxes_of(graph: Topology) -> list[Box]:
    """What links join, in the order in which they name it."""
    by_role: dict[str, list[str]] = {}
    for node in graph.nodes:
        by_role.setdefault(node.role, []).append(node.name)
    names = {node.name for node in graph.nodes}
    found = []
    for end in dict.fromkeys(end for link in graph.links for end in (link.source, link.target)):
        is_stream = end not in by_role and end not in names
        found.append(Box(end, is_stream, tuple(by_role.get(end, ()))))
    return found


def edges_of(graph: Topology) -> list[Edge]:
    """Links with the same ends taken together; those along which nothing flows are not drawn."""
    streams = {box.name for box in boxes_of(graph) if box.is_stream}
    notes: dict[tuple[str, str], list[str]] = {}
    for link in filter(lambda link: link.carries, graph.links):
        notes.setdefault((link.source, link.target), []).append(link.note)
    return [
        Edge(source, target, tuple(told), source not in streams and target not in streams)
        for (source, target), told in notes.items()
    ]


def unlinked(graph: Topology) -> list[str]:
    """Nodes that no link names."""
    ends = {end for link in graph.links for end in (link.source, link.target)}
    return [node.name for node in graph.nodes if node.name not in ends and node.role not in ends]


def layers(names: Sequence[str], edges: Iterable[Edge]) -> dict[str, int]:
    """A layer for each box, so that links go forward but for those that close a circle.

    A circle is cut where a walk along the links, in their order, comes back to where it has been.
    """
    after: dict[str, list[str]] = {name: [] for name in names}
    for edge in edges:
        after[edge.source].append(edge.target)
    forward: list[tuple[str, str]] = []
    done: list[str] = []
    on_the_way: set[str] = set()

    def walk(name: str) -> None:
        on_the_way.add(name)
        for target in after[name]:
            if target in on_the_way:
                continue
            forward.append((name, target))
            if target not in done:
                walk(target)
        on_the_way.remove(name)
        done.append(name)

    for name in names:
        if name not in done:
            walk(name)
    found = dict.fromkeys(names, 0)
    for name in reversed(done):
        for source, target in forward:
            if source == name:
                found[target] = max(found[target], found[source] + 1)
    return found


def _box_width(stacked: Sequence[Sequence[Box]], width: float, *, down: bool) -> float:
    """How wide boxes are, so that all are on the page: the layers beside each other, or those of a layer."""
    if down:
        most = max(map(len, stacked))
        return min(BOX, (width - 4 - SIDE_GAP * (most + 1) - TRACKS_LEAST) / max(1, most))
    return min(BOX, (width - 4 - LAYER_GAP * (len(stacked) - 1)) / len(stacked))


def _track_gap(spots: dict[str, Spot], sides: Sequence[dict[Edge, int]], width: float) -> float:
    """How far tracks are apart, so that those of both sides fit beside the boxes."""
    first = -min((spot.across - spot.half_across for spot in spots.values()), default=0.0)
    last = max((spot.across + spot.half_across for spot in spots.values()), default=0.0)
    tracks = sum(1 + max(side.values(), default=-1) for side in sides)
    return min(TRACK, (width - 4 - first - last - 2 * SIDE_GAP) / max(1, tracks))


def _spots(stacked: Sequence[Sequence[Box]], width: float, wide: float, *, down: bool) -> dict[str, Spot]:
    """Layers one after the other; in each the first on the middle line, the others to one side of it."""
    extents = [max((box.height if down else wide) for box in stack) for stack in stacked]
    gap = LAYER_GAP
    if not down and len(stacked) > 1:
        gap = min(72.0, max(gap, (width - 4 - sum(extents)) / (len(stacked) - 1)))
    spots: dict[str, Spot] = {}
    along = 0.0
    for stack, extent in zip(stacked, extents, strict=True):
        across, border = 0.0, None
        for box in stack:
            half_across = (wide if down else box.height) / 2
            if border is not None:
                across = border + SIDE_GAP + half_across
            border = across + half_across
            half_along = (box.height if down else wide) / 2
            spots[box.name] = Spot(along + extent / 2, across, half_along, half_across)
        along += extent + gap
    return spots


def _route(pen: _Pen, spots: dict[str, Spot], tracks: dict[Edge, int], side: int, apart: float) -> None:
    """Links that pass the boxes on one side, on tracks so far apart."""
    border = max((side * spot.across + spot.half_across for spot in spots.values()), default=0.0)
    ports = _ports(spots, list(tracks))
    for edge, track in tracks.items():
        across = side * (border + SIDE_GAP + apart * track)
        ends = (spots[edge.source], spots[edge.target])
        pen.around(ends, (ports[edge, "out"], ports[edge, "in"]), across, side, edge)


def _tracks(spots: dict[str, Spot], edges: Sequence[Edge]) -> dict[Edge, int]:
    """A track for each link that passes the boxes, which is its own for its length; 0 is the nearest."""
    ports = _ports(spots, edges)
    tracks: list[list[tuple[float, float]]] = []
    found = {}

    def span(edge: Edge) -> tuple[float, float]:
        low, high = sorted((ports[edge, "out"], ports[edge, "in"]))
        return low, high

    for edge in sorted(edges, key=lambda edge: span(edge)[1] - span(edge)[0]):
        low, high = span(edge)
        free = (n for n, used in enumerate(tracks) if all(high < a - 8 or low > b + 8 for a, b in used))
        track = next(free, len(tracks))
        if track == len(tracks):
            tracks.append([])
        tracks[track].append((low, high))
        found[edge] = track
    return found


def _ports(spots: dict[str, Spot], edges: Sequence[Edge]) -> dict[tuple[Edge, str], float]:
    """Where along its box each link leaves and arrives: side by side, so that none crosses without need."""
    at: dict[str, list[tuple[float, Edge, str]]] = {}
    for edge in edges:
        source, target = spots[edge.source].along, spots[edge.target].along
        at.setdefault(edge.source, []).append((target, edge, "out"))
        at.setdefault(edge.target, []).append((source, edge, "in"))
    found = {}
    for name, ends in at.items():
        ends.sort(key=lambda end: end[0])
        for index, (_, edge, way) in enumerate(ends):
            spread = min(PORT, (2 * spots[name].half_along - 10) / max(1, len(ends)))
            found[edge, way] = spots[name].along + (index - (len(ends) - 1) / 2) * spread
    return found


class _Pen:
    """Draws in along and across, on a page where layers go to the right, or down."""

    def __init__(self, *, down: bool) -> None:
        self._down = down
        self._drawn: list[Markup] = []
        self._labels: list[Markup] = []
        self._low = [0.0, 0.0]
        self._high = [0.0, 0.0]

    def _xy(self, along: float, across: float) -> tuple[float, float]:
        x, y = (across, along) if self._down else (along, across)
        for axis, value in enumerate((x, y)):
            self._low[axis] = min(self._low[axis], value)
            self._high[axis] = max(self._high[axis], value)
        return x, y

    def _at(self, along: float, across: float) -> str:
        x, y = self._xy(along, across)
        return f"{x:.1f} {y:.1f}"

    def straight(self, source: Spot, target: Spot, edge: Edge) -> None:
        """From the end of one box to the beginning of the next."""
        start, end = source.along + source.half_along, target.along - target.half_along
        bend = (start + end) / 2
        bends = f"{self._at(bend, source.across)} {self._at(bend, target.across)}"
        self._edge(edge, f"M{self._at(start, source.across)}C{bends} {self._at(end, target.across)}")
        self._arrow(edge, (end, target.across), (1.0, 0.0))

    def around(
        self, ends: tuple[Spot, Spot], ports: tuple[float, float], across: float, side: int, edge: Edge
    ) -> None:
        """Out at one side, along a track, and in again at the same side."""
        (source, target), (leave, arrive) = ends, ports
        start, end = source.across + side * source.half_across, target.across + side * target.half_across
        turn = min(8.0, abs(arrive - leave) / 2)
        way = turn if arrive >= leave else -turn
        d = (
            f"M{self._at(leave, start)}L{self._at(leave, across - side * turn)}"
            f"Q{self._at(leave, across)} {self._at(leave + way, across)}"
            f"L{self._at(arrive - way, across)}"
            f"Q{self._at(arrive, across)} {self._at(arrive, across - side * turn)}L{self._at(arrive, end)}"
        )
        self._edge(edge, d)
        self._arrow(edge, (arrive, end), (0.0, float(-side)))
        words = ", ".join(edge.notes)
        if not self._down and abs(arrive - leave) > len(words) * GLYPH + 16:
            self._xy((leave + arrive) / 2, across + side * TRACK / 2)
            x, y = self._xy((leave + arrive) / 2, across)
            self._labels.append(el("text", words, class_="note", x=x, y=y + 4.5, text_anchor="middle"))

    def _edge(self, edge: Edge, d: str) -> None:
        about = f"{edge.source} to {edge.target}: {'; '.join(edge.notes)}"
        self._drawn.append(el("path", el("title", about), class_=_kind(edge), d=d))

    def _arrow(self, edge: Edge, tip: tuple[float, float], heading: tuple[float, float]) -> None:
        (along, across), (u, v) = tip, heading
        left = (along - 8 * u - 4 * v, across - 8 * v - 4 * u)
        right = (along - 8 * u + 4 * v, across - 8 * v + 4 * u)
        d = f"M{self._at(along, across)}L{self._at(*left)}L{self._at(*right)}Z"
        self._drawn.append(el("path", class_=f"tip {_kind(edge)}", d=d))

    def box(self, box: Box, spot: Spot, wide: float) -> None:
        self._xy(spot.along - spot.half_along, spot.across - spot.half_across)
        self._xy(spot.along + spot.half_along, spot.across + spot.half_across)
        x, y = self._xy(spot.along, spot.across)
        top = y - box.height / 2
        shape = {"x": x - wide / 2, "y": top, "width": wide, "height": box.height}
        kind, corner = ("stream", box.height / 2) if box.is_stream else ("node", 4.0)
        self._drawn.append(el("rect", class_=kind, rx=corner, **shape))
        self._drawn.append(
            el("text", box.name, class_=f"title {kind}", x=x, y=top + 18, text_anchor="middle")
        )
        for index, line in enumerate(box.lines):
            self._drawn.append(el("text", line, x=x, y=top + 35 + NAME * index, text_anchor="middle"))

    def broker(self, begin: float, end: float) -> None:
        """A bar along all that speaks through the broker: below it, or above where the page is narrow."""
        x, wide = (self._low[0], self._high[0] - self._low[0]) if self._down else (begin, end - begin)
        y = self._low[1] - LAYER_GAP - TITLE if self._down else self._high[1] + SIDE_GAP
        words = BROKER_BRIEF if self._down else BROKER
        if len(words) * GLYPH > wide:
            words = "broker"
        shape = {"x": x, "y": y, "width": wide, "height": TITLE}
        self._low[1], self._high[1] = min(self._low[1], y), max(self._high[1], y + TITLE)
        self._drawn.append(el("rect", class_="broker", rx=4.0, **shape))
        self._drawn.append(el("text", words, x=x + wide / 2, y=y + 17.5, text_anchor="middle"))

    def drawing(self, width: float, about: str) -> Markup:
        """All of it, moved to the middle of the width, with room for the widths of lines."""
        size = [high - low + 4 for low, high in zip(self._low, self._high, strict=True)]
        whole = max(width, size[0])
        shift = f"translate({(whole - size[0]) / 2 - self._low[0] + 2:.1f} {2 - self._low[1]:.1f})"
        moved = el("g", *self._drawn, *self._labels, transform=shift)
        return drawing([moved], whole, size[1], about, narrow=width <= NARROW)


def _kind(edge: Edge) -> str:
    if edge.target == VENUE:
        return "link outside"
    return "link direct" if edge.direct else "link"
