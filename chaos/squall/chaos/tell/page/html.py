"""One run as one page that needs nothing but itself: the verdict, why, and all that was measured. Pure.

History, Result ─┬─ words, notices, tables, evidence ─────────────────────┐
                 ├─ lanes ─► rail, plots, strips, timeline  (SVG, inline) ├─► report.html
                 ├─ outcomes ─► traced                                    │
Topology ────────┴─ topology                                (SVG, inline) ┘
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from squall.bus.topology.model import Topology
from squall.chaos.evidence.model import History
from squall.chaos.judge.checks import promises_of
from squall.chaos.judge.tally import tally
from squall.chaos.judge.track import Track
from squall.chaos.tell.page import course, evidence, tables, traced, words
from squall.chaos.tell.page.document import checks, document, heading
from squall.chaos.tell.page.figures import figures
from squall.chaos.tell.page.glossary import glossary
from squall.chaos.tell.page.lanes import strikes, window
from squall.chaos.tell.page.markup import Markup, el
from squall.chaos.tell.page.notices import broker, notices, refusals
from squall.chaos.tell.page.outcomes import chosen, outcomes
from squall.chaos.tell.page.parts import section
from squall.chaos.tell.trace import Timeline
from squall.services.run.result import Result, Verdict, blamed_on_handler, exit_code
from squall.services.run.summary import in_words

VERDICTS: dict[int, Verdict] = {0: "pass", 1: "fail", 3: "unknown"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PageContent:
    """What a page tells of.

    Attributes:
        topology: None if the spec does not say.
        path: The run's directory, as a command would name it.
        scheduled: Whether faults came from a schedule that the directory holds.
        traces: What happened to the tasks that are listed, by task; see `listed_of`.
    """

    history: History
    result: Result
    topology: Topology | None = None
    path: str
    scheduled: bool = False
    traces: Mapping[str, Timeline] = field(default_factory=dict)


def listed_of(history: History) -> list[str]:
    """The tasks that a page lists, whose traces it would have."""
    return chosen(outcomes(history, tally(history))).tasks


def render(content: PageContent) -> bytes:
    """The file's content."""
    result, history = content.result, content.history
    verdict = VERDICTS[exit_code(result)]
    counted = tally(history)
    found = outcomes(history, counted)
    seen = window(history)
    refused = sum(task.outcome == "refused" for task in history.submissions.values())
    struck = strikes(history, seen)
    around = course.setting(history, seen, struck)
    facts = [
        ("pattern", result.pattern or words.ABSENT),
        ("run", result.run),
        ("seed", words.ABSENT if result.seed is None else str(result.seed)),
        ("runs on", result.target or words.ABSENT),
        ("date", words.date(history.first_s)),
    ]
    first = (refusals(refused, result.offered), notices(history), broker(result, seen))
    return document(
        f"{verdict}: {result.pattern or 'run'} {result.run}",
        heading(verdict, in_words(result), facts, *first, blame=blamed_on_handler(result)),
        el(
            "main",
            section(
                "Promises",
                "What was promised, and what happened",
                checks(result.pattern, result.checks),
                anchor="promises",
            ),
            section("Figures", None, figures(result, history)),
            course.faults(around),
            course.outcomes(history, found, seen, around),
            course.latency(history, counted, found, seen, around),
            course.throughput(history, seen, around),
            course.tracks(_tracks(result.pattern, history), seen, around),
            course.nodes_over_time(history, seen, around),
            *traced.sections(
                chosen(found), content.traces, shlex.quote(content.path), failed=verdict == "fail"
            ),
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
            glossary(),
            section("Again", "The same run, and the same judgment of this one", _commands(content)),
        ),
    )


def _tracks(pattern: str | None, history: History) -> Sequence[Track]:
    promises = promises_of(pattern)
    return () if promises is None else promises.tracks(history)


def _commands(content: PageContent) -> Markup:
    spec = shlex.quote(f"{content.path}/spec.toml")
    again = f"squall run {spec}"
    if content.scheduled:
        again = f"squall chaos {spec} --schedule {shlex.quote(f'{content.path}/schedule.toml')}"
    return el("pre", el("code", f"{again}\nsquall check {shlex.quote(content.path)}"), tabindex="0")
