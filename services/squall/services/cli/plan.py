"""What a swarm would be, from its topology alone: nothing is started."""

from __future__ import annotations

from typing import Any

from rich.console import Group
from rich.table import Table

from squall.services.cli.terminal import Terminal, spaced, styled
from squall.services.patterns import pattern_of
from squall.services.run.spec import Spec


def document(spec: Spec) -> dict[str, Any]:
    """Nodes, links, streams and permissions as one document."""
    pattern = pattern_of(spec)
    topology = pattern.topology(spec)
    return {
        "pattern": spec.pattern,
        "swarm": spec.swarm,
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
        "links": [
            {"source": link.source, "target": link.target, "subject": link.subject, "note": link.note}
            for link in topology.links
        ],
        "streams": [
            {
                "stream": config["name"],
                "subjects": config.get("subjects", []),
                "sources": [source["name"] for source in config.get("sources", [])],
                "retention": config["retention"],
            }
            for config in pattern.streams(spec)
        ],
    }


def show(spec: Spec, console: Terminal) -> None:
    """Print it for people."""
    planned = document(spec)
    links = Table("from", "to", "subject", "for", title="links", title_justify="left", box=None)
    for link in planned["links"]:
        links.add_row(link["source"], link["target"], link["subject"], link["note"])
    streams = Table("stream", "holds", "retention", title="streams", title_justify="left", box=None)
    for stream in planned["streams"]:
        held = [*stream["subjects"], *(f"sourced from {name}" for name in stream["sources"])]
        streams.add_row(stream["stream"], Group(*held), stream["retention"])
    facts = f"swarm {spec.swarm}, {len(planned['nodes'])} identities"
    console.print(spaced(styled(spec.pattern, "bold"), styled(facts)), "", sep="\n")
    console.print(links, "", streams, "")
    for node in planned["nodes"]:
        rights = Table("may publish", "may subscribe", box=None, title_justify="left")
        rights.title = f"{node['node']}  (account {node['account']})"
        width = max(len(node["publish"]), len(node["subscribe"]))
        publish = node["publish"] + [""] * (width - len(node["publish"]))
        subscribe = node["subscribe"] + [""] * (width - len(node["subscribe"]))
        for row in zip(publish, subscribe, strict=True):
            rights.add_row(*row)
        console.print(rights, "")
