"""One run as one page that needs nothing but itself: the verdict, why, and all that was measured. Pure.

History, Result ─┬─ words, tables ──────────────────────────┐
                 ├─ lanes ─► plots, timeline  (SVG, inline) ├─► report.html
Topology ────────┴─ topology                  (SVG, inline) ┘

The page holds no script and refers to nothing outside; a policy in its head has the browser see to that.
"""

from __future__ import annotations

import importlib.resources
import shlex
from dataclasses import dataclass

from squall.bus.topology.model import Topology
from squall.chaos.evidence.model import History
from squall.chaos.evidence.plural import plural
from squall.chaos.judge.checks import promises_of
from squall.chaos.tell.page import course, evidence, tables, words
from squall.chaos.tell.page.figures import figures
from squall.chaos.tell.page.lanes import strikes, window
from squall.chaos.tell.page.markup import Markup, el
from squall.chaos.tell.page.parts import pairs, section, table
from squall.services.run.result import Result, Verdict, exit_code

SIGNS: dict[Verdict, str] = {"pass": "✓", "fail": "✕", "unknown": "?"}
VERDICTS: dict[int, Verdict] = {0: "pass", 1: "fail", 3: "unknown"}

POLICY = "default-src 'none'; style-src 'unsafe-inline'"


@dataclass(frozen=True, slots=True, kw_only=True)
class PageContent:
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


def render(content: PageContent) -> bytes:
    """The file's content."""
    result, history = content.result, content.history
    verdict = VERDICTS[exit_code(result)]
    seen = window(history)
    struck = strikes(history, seen)
    style = importlib.resources.files("squall.chaos.tell.page").joinpath("page.css").read_text()
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
            section("Promises", "What was promised, and what happened", _checks(result)),
            section("Figures", None, figures(result, history)),
            course.latency(history, seen, struck),
            course.throughput(history, seen, struck),
            course.nodes_over_time(history, seen, struck),
            tables.topology(content.topology),
            section("Faults", None, tables.faults(history, seen, struck)),
            section("Nodes", None, tables.nodes(history, seen)),
            section(
                "Executions",
                "How often handlers were started, and what those wrote that are witnesses",
                evidence.executions(history),
            ),
            section("Doubts", "What leaves verdicts unknown", evidence.doubtful(history)),
            section("Limits of this run", None, tables.limits(result)),
            section("Environment", None, tables.environment(result)),
            section("Again", "The same run, and the same judgment of this one", _commands(content)),
        ),
    )
    return f"<!doctype html>\n{el('html', head, body, lang='en')}\n".encode()


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
        pairs(facts, "facts"),
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
            share = f"{len(found)} of {plural(total, 'check')} {says}"
            return f"{share}. {first.id} {first.name}: {first.detail}"
    faults = {(fault.kind, fault.target, fault.start_s) for fault in result.faults}
    struck = f" under {plural(len(faults), 'fault')}" if faults else ""
    accepted = (
        plural(result.accepted, "accepted task") if result.accepted is not None else "what was accepted"
    )
    return f"{'All ' if total > 1 else ''}{plural(total, 'check')} passed on {accepted}{struck}."


def _checks(result: Result) -> Markup:
    promises = promises_of(result.pattern)
    texts = {} if promises is None else {promise.id: promise.text for promise in promises.promises}
    rows = [
        [
            el("span", check.id, class_="id"),
            check.name,
            texts.get(check.id, words.ABSENT),
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
    return table(["", "check", "promise", "verdict", "what happened"], rows, "checks")


def _commands(content: PageContent) -> Markup:
    spec = shlex.quote(f"{content.path}/spec.toml")
    again = f"squall run {spec}"
    if content.scheduled:
        again = f"squall chaos {spec} --schedule {shlex.quote(f'{content.path}/schedule.toml')}"
    return el("pre", el("code", f"{again}\nsquall check {shlex.quote(content.path)}"), tabindex="0")
