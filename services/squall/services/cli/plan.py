"""What a swarm would be, from its topology alone: nothing is started."""

from __future__ import annotations

from collections import Counter
from typing import Any

from squall.services.cli.layout import Flow, Listing
from squall.services.cli.terminal import Terminal, styled
from squall.services.patterns import pattern_of
from squall.services.patterns.pattern import VENUE
from squall.services.run.own_broker import BROKER, topology_of
from squall.services.run.spec import Spec
from squall.services.words import find, own

PROCESSES = ("processes", "what each does")
LINKS = ("link", "subject", "for")
STREAMS = ("stream", "what it is for")
RIGHTS = ("identity", "account", "may")
"""The headers of the tables."""

NAMES_MAX = 2
"""Processes of one role that are named one by one."""


def document(spec: Spec) -> dict[str, Any]:
    """Processes, nodes, guests, links, streams and permissions as one document."""
    pattern = pattern_of(spec)
    topology = topology_of(spec)
    nodes = [(node.name, node.role) for node in topology.nodes if node.role in pattern.roles]
    venue = [(VENUE, VENUE)] if VENUE in pattern.roles and spec.has_venue else []
    return {
        "pattern": spec.pattern,
        "swarm": spec.swarm,
        "processes": [
            {"process": name, "role": role, "for": _word(role)}
            for name, role in ((BROKER, BROKER), *nodes, *venue)
        ],
        "nodes": [
            {
                "node": node.name,
                "role": node.role,
                "account": node.name if node.isolated else "CORE",
                "publish": list(topology.permissions[node.name].publish),
                "subscribe": list(topology.permissions[node.name].subscribe),
            }
            for node in topology.nodes
        ],
        "guests": [
            {
                "guest": guest.name,
                "account": guest.name,
                "serves": list(guest.serves),
                "publish": list(guest.permissions.publish),
                "subscribe": list(guest.permissions.subscribe),
            }
            for guest in topology.guests
        ],
        "links": [
            {"source": link.source, "target": link.target, "subject": link.subject, "note": link.note}
            for link in topology.links
        ],
        "streams": [
            {
                "stream": config["name"],
                "for": config.get("description", ""),
                "subjects": config.get("subjects", []),
                "sources": [source["name"] for source in config.get("sources", [])],
                "retention": config["retention"],
            }
            for config in pattern.streams(spec)
        ],
    }


def _word(role: str) -> str:
    """What a role does, where there is a word for it."""
    return next((word.text for word in find(role, own()) if word.topic == "who"), "")


def show(spec: Spec, console: Terminal) -> None:
    """Print it for people."""
    planned = document(spec)
    processes, nodes, guests = planned["processes"], planned["nodes"], planned["guests"]
    facts = [f"swarm {spec.swarm}", f"{len(processes)} processes", f"{len(nodes)} identities"]
    facts += [f"guest {guest['guest']}" for guest in guests]
    console.print(Flow([styled(spec.pattern, "bold"), *facts]), "", sep="\n")
    console.print(Listing(PROCESSES, _processes(processes)), "", sep="\n")
    console.print(Listing(STREAMS, _streams(planned["streams"])), "", sep="\n")
    links = [
        [f"{link['source']} ─► {link['target']}", link["subject"], link["note"]] for link in planned["links"]
    ]
    links += [
        [f"each agent ─► {guest['guest']}", subject, "a question to the guest, which no other node may ask"]
        for guest in guests
        for subject in guest["serves"]
    ]
    console.print(Listing(LINKS, links), "", sep="\n")
    rights = []
    for name, each in [*((node["node"], node) for node in nodes), *((at["guest"], at) for at in guests)]:
        for may in ("publish", "subscribe"):
            rights.append([name, each["account"], f"{may}: {', '.join(each[may]) or 'nothing'}"])
    console.print(Listing(RIGHTS, rights))


def _processes(processes: list[dict[str, str]]) -> list[list[str]]:
    """A row a role, with the names of its processes."""
    counts = Counter(process["role"] for process in processes)
    told = {process["role"]: process["for"] for process in processes}
    rows = []
    for role, count in counts.items():
        names = [process["process"] for process in processes if process["role"] == role]
        whole = ", ".join(names) if count <= NAMES_MAX else f"{names[0]} to {names[-1]}"
        rows.append([f"{count}  {whole}", told[role]])
    return rows


def _streams(streams: list[dict[str, Any]]) -> list[list[str]]:
    """A row a stream: what it is for, where it gets its messages from, and how long it keeps them."""
    rows = []
    for stream in streams:
        written = [f"written on {', '.join(stream['subjects'])}"] if stream["subjects"] else []
        copied = [f"copied from {', '.join(stream['sources'])}"] if stream["sources"] else []
        facts = "; ".join([stream["for"] or "not described", *written, *copied])
        rows.append([stream["stream"], f"{facts}; retention: {stream['retention']}"])
    return rows
