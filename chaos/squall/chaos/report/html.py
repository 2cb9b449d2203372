"""One run as one page that needs nothing but itself: the verdict, why, and all that was measured. Pure.

History, Result ─┬─ words, tables ──────────────────────────┐
                 ├─ lanes ─► plots, timeline  (SVG, inline) ├─► report.html
Topology ────────┴─ topology                  (SVG, inline) ┘

The page holds no script and refers to nothing outside; a policy in its head has the browser see to that.
"""

from __future__ import annotations

import importlib.resources
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from squall.bus.topology.model import Topology
from squall.chaos.evidence import History
from squall.chaos.figures import latencies_ms
from squall.chaos.report import buckets as over_time
from squall.chaos.report import plots, words
from squall.chaos.report.frame import NARROW, WIDE
from squall.chaos.report.lanes import Strike, Window, lanes, shown, strikes, window
from squall.chaos.report.markup import Child, Markup, el, join
from squall.chaos.report.timeline import timeline
from squall.chaos.report.topology import topology as topology_drawing
from squall.chaos.report.topology import unlinked
from squall.chaos.succession import reigns
from squall.chaos.tally import tally
from squall.services.result import Result, Verdict, exit_code

PROMISES = {
    "H0": "The pattern has checks to hold it to.",
    "H1": "Each accepted task has one register, each intent one fill, each dispatch one arrival.",
    "H2": "Nothing is filled twice, without intent, or with two bodies.",
    "H3": "In the steady state, equal agents do equal shares.",
    "H4": "A standby takes over in time, no job is left, the old leader writes nothing.",
    "H5": "Nothing but poison is dead-lettered, and poison after exactly its attempts.",
    "H6": "What is refused never runs, what is accepted under pressure ends.",
    "E1": "The venue's ledger is, row for row, what one process computes from the input.",
    "L1": "After the last heal everything ends within a bound computed from the timers.",
    "C1": "Over a series, every step on a task's way is killed, paused and cut.",
}
"""What each check holds a run to, in words."""

SIGNS: dict[Verdict, str] = {"pass": "✓", "fail": "✕", "unknown": "?"}
VERDICTS: dict[int, Verdict] = {0: "pass", 1: "fail", 3: "unknown"}

ROWS_MAX = 500
"""Rows of a table; a table of more says how many there are."""

RATE_BUCKETS_MAX = 150
NARROW_BUCKETS_MAX = 100
"""A narrow drawing shows no more than about one bucket for four units."""

POLICY = "default-src 'none'; style-src 'unsafe-inline'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a page tells of.

    Attributes:
        topology: None if the spec does not say.
        path: The run's directory, as a command would name it.
        scheduled: Whether faults came from a schedule that the directory holds.
    """

    history: History
    result: Result
    topology: Topology | None = None
    path: str
    scheduled: bool = False


def render(told: Told) -> bytes:
    """The file's content."""
    result, history = told.result, told.history
    verdict = VERDICTS[exit_code(result)]
    seen = window(history)
    struck = strikes(history, seen)
    style = importlib.resources.files("squall.chaos.report").joinpath("page.css").read_text()
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=POLICY),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("title", f"{verdict}: {result.pattern or 'run'} {result.run}"),
        # Ours alone: nothing from a run is ever put into the style sheet.
        el("style", Markup(style)),
    )
    body = el(
        "body",
        _verdict(result, history, verdict),
        el(
            "main",
            _section("Promises", "What was promised, and what happened", _checks(result)),
            _section("Figures", None, _figures(result)),
            _latency(history, seen, struck),
            _throughput(history, seen, struck),
            _nodes_over_time(history, seen, struck),
            _topology(told.topology),
            _section("Faults", None, _faults(history, seen, struck)),
            _section("Nodes", None, _nodes(history, seen)),
            _section("Limits of this run", None, _limits(result)),
            _section("Environment", None, _environment(result)),
            _section("Again", "The same run, and the same judgment of this one", _commands(told)),
        ),
    )
    return f"<!doctype html>\n{el('html', head, body, lang='en')}\n".encode()


# The verdict.


def _verdict(result: Result, history: History, verdict: Verdict) -> Markup:
    facts = [
        ("pattern", result.pattern or words.ABSENT),
        ("run", result.run),
        ("seed", words.ABSENT if result.seed is None else str(result.seed)),
        ("target", result.target or words.ABSENT),
        ("date", words.date(history.first_s)),
    ]
    return el(
        "header",
        el(
            "h1",
            el("span", SIGNS[verdict], class_="sign", aria_hidden="true"),
            {"pass": "Passed", "fail": "Failed", "unknown": "Unknown"}[verdict],
            class_=verdict,
        ),
        el("p", why(result), class_="why"),
        _pairs(facts, "facts"),
    )


def why(result: Result) -> str:
    """One line: what decided."""
    if not result.checks:
        return "Nothing was checked."
    total = len(result.checks)
    for verdict, says in (("fail", "failed"), ("unknown", "could not be decided")):
        found = [check for check in result.checks if check.verdict == verdict]
        if found:
            first = found[0]
            share = f"{len(found)} of {words.plural(total, 'check')} {says}"
            return f"{share}. {first.id} {first.name}: {first.detail}"
    faults = {(fault.kind, fault.target, fault.start_s) for fault in result.faults}
    struck = f" under {words.plural(len(faults), 'fault')}" if faults else ""
    accepted = (
        words.plural(result.accepted, "accepted task") if result.accepted is not None else "what was accepted"
    )
    return f"{'All ' if total > 1 else ''}{words.plural(total, 'check')} passed on {accepted}{struck}."


def _checks(result: Result) -> Markup:
    rows = [
        [
            el("span", check.id, class_="id"),
            check.name,
            PROMISES.get(check.id, words.ABSENT),
            el(
                "span",
                el("span", SIGNS[check.verdict], aria_hidden="true"),
                f" {check.verdict}",
                class_=f"badge {check.verdict}",
            ),
            check.detail,
        ]
        for check in result.checks
    ]
    return _table(["", "check", "promise", "verdict", "what happened"], rows, "checks")


# Figures.


def _figures(result: Result) -> Markup:
    latency, recovery = result.latency_ms, result.recovery_s
    interval = result.reliability_interval
    between = (
        "" if interval is None else f"95% interval {words.share(interval[0])} to {words.share(interval[1])}"
    )
    groups: list[tuple[str, list[tuple[str, str, str]]]] = [
        (
            "Work",
            [
                ("offered", words.count(result.offered), ""),
                ("accepted", words.count(result.accepted), ""),
                ("effects", words.count(result.effects), ""),
                ("throughput", words.per_second(result.throughput_per_s), ""),
            ],
        ),
        (
            "Must be zero",
            [_zero(name, value) for name, value in (
                ("lost", result.lost),
                ("duplicated", result.duplicated),
                ("conflicting", result.conflicting),
            )] + [("dead letters", words.count(result.dead_letters), "zero unless there was poison")],
        ),
        (
            "Latency",
            [
                ("p50", words.milliseconds(latency.p50), ""),
                ("p95", words.milliseconds(latency.p95), ""),
                ("p99", words.milliseconds(latency.p99), ""),
                ("max", words.milliseconds(latency.max), ""),
            ],
        ),
        (
            "Service",
            [
                ("availability", words.share(result.availability), "accepted over offered"),
                ("reliability", words.share(result.reliability), between),
                ("suppressed", words.count(result.duplicates_suppressed), "repeats refused"),
                ("refused writes", words.count(result.refused_writes), "of deposed leaders"),
            ],
        ),
        (
            "Recovery",
            [
                ("detect", words.seconds(recovery.detect), "fault to next term"),
                ("fail-over", words.seconds(recovery.failover), "fault to first dispatch"),
                ("drain", words.seconds(recovery.drain), "last heal to all ended"),
                ("duration", words.seconds(result.duration_s), "the whole run"),
            ],
        ),
    ]  # fmt: skip
    return el(
        "div",
        *(
            el("div", el("h3", title), el("dl", *(_figure(*figure) for figure in group)), class_="group")
            for title, group in groups
        ),
        class_="figures",
    )


def _zero(name: str, value: int | None) -> tuple[str, str, str]:
    return name, words.count(value), "wrong: not zero" if value else ""


def _figure(name: str, value: str, note: str) -> Markup:
    kind = "wrong" if note.startswith("wrong") else None
    children: list[Child] = [el("dt", name), el("dd", value, class_="value")]
    if note:
        children.append(el("dd", note, class_="note"))
    return el("div", *children, class_=kind)


# What happened over time.


def _latency(history: History, seen: Window, struck: Sequence[Strike]) -> Markup:
    samples = [(seen.at(due_s), ms) for due_s, ms in latencies_ms(history, tally(history))]
    title, about = (
        "Latency over time",
        "From the moment a task was due to its last fill; across: when it was due, in seconds",
    )
    if not samples:
        return _section(title, about, _nothing("No task that was offered is known to have been filled."))
    setting = _setting(history, seen, struck)

    differ = False

    def draw(width: float, buckets_max: int) -> Markup:
        nonlocal differ
        width_s = over_time.width_s(seen.length_s, len(samples), buckets_max)
        gathered = over_time.latencies(samples, width_s)
        differ |= any(bucket.max > bucket.p99 for bucket in gathered)
        return plots.latency(gathered, width_s, setting, width)

    drawn = _both(draw, over_time.BUCKETS_MAX)
    # Of fewer than a hundred tasks the largest is the 99th percentile.
    largest = (
        [("p99", "99th percentile"), ("max", "largest")]
        if differ
        else [("p99", "99th percentile, and largest")]
    )
    keys = [("p50", "median"), *largest, *_shared_keys(setting)]
    return _section(title, f"{about}; up: ms, logarithmic", _legend(keys), drawn)


def _throughput(history: History, seen: Window, struck: Sequence[Strike]) -> Markup:
    fills = history.venue.fills if history.venue is not None else {}
    filled = [seen.at(time_s) for times in fills.values() for time_s in times]
    due = [seen.at(task.intended_s) for task in history.submissions.values() if task.intended_s is not None]
    title, about = "Throughput", "Fills a second, against tasks that were due a second"
    if not filled:
        return _section(title, about, _nothing("Nothing was filled, or nothing is known of it."))
    setting = _setting(history, seen, struck)

    def draw(width: float, buckets_max: int) -> Markup:
        width_s = over_time.width_s(seen.length_s, len(filled), buckets_max)
        fills_per_s, due_per_s = (over_time.rates(times, seen.length_s, width_s) for times in (filled, due))
        return plots.throughput(fills_per_s, due_per_s, width_s, setting, width)

    keys = [("fills", "fills"), ("due", "due"), *_shared_keys(setting)]
    return _section(title, about, _legend(keys), _both(draw, RATE_BUCKETS_MAX))


def _setting(history: History, seen: Window, struck: Sequence[Strike]) -> plots.Setting:
    terms = [(seen.at(reign.time_s), str(reign.term)) for reign in reigns(history)]
    return plots.Setting(seen.length_s, struck, terms)


def _shared_keys(setting: plots.Setting) -> list[tuple[str, str]]:
    keys = [("fault", "a fault is in force")] if setting.strikes else []
    return keys + [("lead", "a new leader's term")] * any(at_s > 0 for at_s, _ in setting.terms)


def _nodes_over_time(history: History, seen: Window, struck: Sequence[Strike]) -> Markup:
    found = lanes(history, seen, struck)
    drawn = shown(found)
    title = "Timeline of the nodes"
    if not drawn:
        return _section(title, None, _nothing("Nothing is known of any node."))
    keys = [("life", "alive")]
    keys += [("reign", "leads")] * any(lane.reigns for lane in drawn)
    keys += [("fault", "struck")] * any(lane.strikes for lane in drawn)

    def draw(width: float, _: int) -> Markup:
        return timeline(drawn, seen.length_s, width)

    left_out = len(found) - len(drawn)
    more = f"; {words.plural(left_out, 'node')} to which less happened left out" * (left_out > 0)
    about = f"Seconds since the first task was due; numbers are those of the faults below{more}"
    return _section(title, about, _legend(keys), _both(draw, 0))


def _both(draw: Callable[[float, int], Markup], buckets_max: int) -> Markup:
    """A drawing for wide pages and one for narrow ones."""
    return join(draw(WIDE, buckets_max), draw(NARROW, min(buckets_max, NARROW_BUCKETS_MAX)))


# Topology.


def _topology(graph: Topology | None) -> Markup:
    title = "Topology"
    if graph is None or not graph.links:
        return _section(title, None, _nothing("The spec of this run does not tell its topology."))
    keys = [
        ("node", "nodes, by role"),
        ("stream", "stream"),
        ("link", "through a stream"),
        ("direct", "direct"),
    ]
    alone = unlinked(graph)
    about = "Who speaks to whom" + (f"; without links: {', '.join(alone)}" if alone else "")
    links = [[link.source, link.target, link.note, el("code", link.subject)] for link in graph.links]
    return _section(
        title,
        about,
        _legend(keys),
        topology_drawing(graph, WIDE),
        topology_drawing(graph, NARROW),
        el(
            "details",
            el("summary", f"{words.plural(len(links), 'link')} with their subjects"),
            _table(["from", "to", "for", "subject"], links, "links"),
        ),
    )


# Tables.


def _faults(history: History, seen: Window, struck: Sequence[Strike]) -> Markup:
    if not history.faults:
        return _nothing("No fault is on record.")
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
                "verified" if fault.verified else el("strong", "not verified"),
            ]
        )
    headers = ["#", "kind", "target", "node", "at the point", "start", "end", "seen in force"]
    return _table(headers, rows, "faults", numeric={0, 5, 6})


def _nodes(history: History, seen: Window) -> Markup:
    if not history.nodes:
        return _nothing("Nothing is known of any node.")
    starts: dict[tuple[str, str], list[str]] = {}
    for node in history.nodes:
        starts.setdefault((node.node, node.role), []).append(words.offset(seen.at(node.started_s)))
    rows: list[list[Child]] = [
        [name, role, str(len(times)), ", ".join(times)] for (name, role), times in starts.items()
    ]
    return _table(["node", "role", "starts", "started at"], rows, "nodes", numeric={2})


def _limits(result: Result) -> Markup:
    if not result.limits:
        return _nothing("None is on record.")
    return el("ul", *(el("li", limit) for limit in result.limits))


def _environment(result: Result) -> Markup:
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
    return _pairs([(name, value or words.ABSENT) for name, value in facts], "facts plain")


def _commands(told: Told) -> Markup:
    spec = shlex.quote(f"{told.path}/spec.toml")
    again = f"squall run {spec}"
    if told.scheduled:
        again = f"squall chaos {spec} --schedule {shlex.quote(f'{told.path}/schedule.toml')}"
    return el("pre", el("code", f"{again}\nsquall check {shlex.quote(told.path)}"), tabindex="0")


# Parts of all of it.


def _section(title: str, about: str | None, *children: Child) -> Markup:
    return el("section", el("h2", title), el("p", about, class_="about") if about else None, *children)


def _nothing(sentence: str) -> Markup:
    return el("p", sentence, class_="nothing")


def _legend(keys: Iterable[tuple[str, str]]) -> Markup:
    return el(
        "ul",
        *(el("li", el("span", class_=f"key {kind}", aria_hidden="true"), name) for kind, name in keys),
        class_="legend",
    )


def _pairs(facts: Iterable[tuple[str, str]], kind: str) -> Markup:
    return el("dl", *(el("div", el("dt", name), el("dd", value)) for name, value in facts), class_=kind)


def _table(
    headers: Sequence[str], rows: Sequence[Sequence[Child]], kind: str, numeric: Iterable[int] = ()
) -> Markup:
    """A table in a box of its own, which scrolls where the page is too narrow for it."""
    right = set(numeric)

    def row(cells: Sequence[Child], tag: str) -> Markup:
        return el(
            "tr",
            *(el(tag, cell, class_="num" if at in right else None) for at, cell in enumerate(cells)),
        )

    table = el(
        "table",
        el("thead", row(headers, "th")),
        el("tbody", *(row(cells, "td") for cells in rows[:ROWS_MAX])),
        class_=kind,
    )
    box = el("div", table, class_="scroll", tabindex="0", role="region", aria_label=f"table of {kind}")
    if len(rows) <= ROWS_MAX:
        return box
    return join(box, el("p", f"The first {ROWS_MAX:,} of {len(rows):,}.", class_="about"))
