"""Links, faults, nodes, limits and environment. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from squall.bus.border import printable
from squall.bus.topology.model import Topology
from squall.chaos.evidence.facts import Injected
from squall.chaos.evidence.model import History
from squall.chaos.evidence.plural import plural
from squall.chaos.tell.page import words
from squall.chaos.tell.page.circle import circle, is_circle
from squall.chaos.tell.page.frame import NARROW, WIDE
from squall.chaos.tell.page.lanes import Strike, Window
from squall.chaos.tell.page.markup import Child, Markup, el
from squall.chaos.tell.page.parts import legend, nothing, pairs, section, table
from squall.chaos.tell.page.topology import topology as drawing
from squall.chaos.tell.page.topology import unlinked, with_venue
from squall.chaos.tell.page.wheel import is_wheel, wheel
from squall.services.run.result import Result


def topology(graph: Topology | None) -> Markup:
    title = "Topology"
    if graph is None or not graph.links:
        return section(title, None, nothing("The spec of this run does not tell its topology."))
    keys = [
        ("node", "nodes, by role"),
        ("stream", "stream"),
        ("link", "through a stream"),
        ("direct", "from node to node, by the broker"),
        ("outside", "past the broker"),
        ("broker", "broker"),
    ]
    graph = with_venue(graph)
    alone = unlinked(graph)
    about = "Who speaks to whom" + (f"; without links: {', '.join(alone)}" if alone else "")
    links = [[link.source, link.target, link.note, el("code", link.subject)] for link in graph.links]
    return section(
        title,
        about,
        legend(keys),
        *([wheel(graph, WIDE), wheel(graph, NARROW)] if is_wheel(graph) else []),
        *([circle(graph, WIDE), circle(graph, NARROW)] if is_circle(graph) else []),
        drawing(graph, WIDE),
        drawing(graph, NARROW),
        el(
            "details",
            el("summary", f"{plural(len(links), 'link')} with their subjects"),
            table(["from", "to", "for", "subject"], links, "links"),
        ),
    )


def faults(history: History, seen: Window, struck: Sequence[Strike]) -> Markup:
    if not history.faults:
        return nothing("No fault is on record.")
    numbers = {(strike.kind, strike.target, strike.start_s): strike.number for strike in struck}
    rows: list[list[Child]] = []
    for fault in history.faults:
        start_s = seen.at(fault.start_s)
        end_s = None if fault.end_s is None else seen.at(fault.end_s)
        rows.append(
            [
                words.count(numbers.get((fault.kind, fault.target, start_s))),
                fault.kind,
                fault.target,
                fault.node or words.ABSENT,
                fault.point or words.ABSENT,
                words.offset(start_s),
                words.offset(end_s),
                "verified" if fault.verified else el("strong", ": ".join(["not verified", *_reason(fault)])),
            ]
        )
    headers = ["#", "kind", "target", "node", "at the point", "start", "end", "seen in force"]
    return table(headers, rows, "faults", numeric={0, 5, 6})


def _reason(fault: Injected) -> list[str]:
    return [printable(fault.reason)] if fault.reason else []


def nodes(history: History, seen: Window) -> Markup:
    if not history.nodes:
        return nothing("Nothing is known of any node.")
    starts: dict[tuple[str, str], list[str]] = {}
    for node in history.nodes:
        starts.setdefault((node.node, node.role), []).append(words.offset(seen.at(node.started_s)))
    rows: list[list[Child]] = [
        [name, role, str(len(times)), ", ".join(times), _counted(history, name)]
        for (name, role), times in starts.items()
    ]
    return table(["node", "role", "starts", "started at", "counted"], rows, "nodes", numeric={2})


def _counted(history: History, node: str) -> str:
    """What all starts of a node counted together."""
    total: Counter[str] = Counter()
    for (name, _), counts in history.lives.counts.items():
        if name == node:
            total.update(counts)
    return (
        ", ".join(f"{printable(kind, 40)} {count:,}" for kind, count in total.items() if count)
        or words.ABSENT
    )


def limits(result: Result) -> Markup:
    if not result.limits:
        return nothing("None is on record.")
    return el("ul", *(el("li", limit) for limit in result.limits))


def environment(result: Result) -> Markup:
    there = result.environment
    facts = [
        ("platform", there.platform),
        ("CPUs", None if there.cpus is None else str(there.cpus)),
        ("Python", there.python),
        ("nats-server", there.nats_server),
        ("Toxiproxy", there.toxiproxy),
        ("agents", None if result.agents is None else str(result.agents)),
        ("workload", result.workload),
        ("revision", result.revision),
        ("durability", result.durability),
    ]
    return pairs([(name, value or words.ABSENT) for name, value in facts], "facts plain")
