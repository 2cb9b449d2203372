"""What happened over time, each in a section: the faults, latency, throughput, outcomes, nodes. Pure.

All drawings have one time axis: a moment is at the same place in each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from squall.chaos.evidence.model import History
from squall.chaos.evidence.plural import plural
from squall.chaos.judge.figures import latencies_ms
from squall.chaos.judge.succession import terms
from squall.chaos.judge.tally import Tally
from squall.chaos.judge.track import Track
from squall.chaos.tell.page import buckets, plots, rail, strips
from squall.chaos.tell.page import tracks as rows
from squall.chaos.tell.page.frame import NARROW, WIDE, Led
from squall.chaos.tell.page.lanes import Strike, Window, lanes, shown
from squall.chaos.tell.page.markup import Markup, join
from squall.chaos.tell.page.outcomes import UNFILLED, Outcome
from squall.chaos.tell.page.parts import legend, nothing, pairs, section
from squall.chaos.tell.page.plots import Setting
from squall.chaos.tell.page.timeline import timeline

RATE_BUCKETS_MAX = 150
NARROW_BUCKETS_MAX = 100
"""A narrow drawing shows no more than about one bucket for four units."""


def setting(history: History, seen: Window, struck: Sequence[Strike]) -> Setting:
    """What all drawings are drawn on."""
    led = [Led(seen.at(lead.time_s), lead.node, lead.term) for lead in terms(history)]
    names = [lane.node for lane in shown(lanes(history, seen, struck))]
    return Setting(seen.length_s, struck, led, names)


def faults(around: Setting) -> Markup:
    title = "What was done to it"
    if not around.strikes:
        return section(title, None, nothing("No fault is on record."))
    about = "Each fault, while it was in force; seconds since the first task was due"

    def draw(width: float, _: int) -> Markup:
        return rail.rail(around.strikes, around.length_s, width, around.left(width))

    return section(title, about, _both(draw, 0), rail.listed(around.strikes))


def latency(
    history: History, counted: Tally, found: Sequence[Outcome], seen: Window, around: Setting
) -> Markup:
    samples = [(seen.at(due_s), ms) for due_s, ms in latencies_ms(history, counted)]
    title, about = (
        "Latency over time",
        "From the moment a task was due to its last fill; across: when it was due, in seconds",
    )
    if not samples:
        return section(title, about, nothing("No task that was offered is known to have been filled."))
    unfilled = [seen.at(one.due_s) for one in found if one.due_s is not None and one.kind in UNFILLED]
    differ = False

    def draw(width: float, buckets_max: int) -> Markup:
        nonlocal differ
        width_s = buckets.width_s(seen.length_s, len(samples), buckets_max)
        gathered = buckets.latencies(samples, width_s)
        differ |= any(bucket.max > bucket.p99 for bucket in gathered)
        return plots.latency(gathered, width_s, around, width, unfilled)

    drawn = _both(draw, buckets.BUCKETS_MAX)
    # Of fewer than a hundred tasks the largest is the 99th percentile.
    largest = (
        [("p99", "99th percentile"), ("max", "largest")]
        if differ
        else [("p99", "99th percentile, and largest")]
    )
    keys = [("p50", "median"), *largest, *_shared_keys(around)]
    keys += [("unfilled", "due then, and not filled")] * bool(unfilled)
    return section(title, f"{about}; up: ms, logarithmic", legend(keys), drawn)


def throughput(history: History, seen: Window, around: Setting) -> Markup:
    fills = history.venue.fills if history.venue is not None else {}
    filled = [seen.at(time_s) for times in fills.values() for time_s in times]
    due = [seen.at(task.intended_s) for task in history.submissions.values() if task.intended_s is not None]
    title, about = "Throughput", "Fills a second, against tasks that were due a second"
    if not filled:
        return section(title, about, nothing("Nothing was filled, or nothing is known of it."))

    def draw(width: float, buckets_max: int) -> Markup:
        width_s = buckets.width_s(seen.length_s, len(filled), buckets_max)
        fills_per_s, due_per_s = (buckets.rates(times, seen.length_s, width_s) for times in (filled, due))
        return plots.throughput(fills_per_s, due_per_s, width_s, around, width)

    keys = [("fills", "fills"), ("due", "due"), *_shared_keys(around)]
    return section(title, about, legend(keys), _both(draw, RATE_BUCKETS_MAX))


def outcomes(history: History, found: Sequence[Outcome], seen: Window, around: Setting) -> Markup:
    rows = strips.strips(history, found, seen)
    title = "What became of tasks"
    if not rows:
        return section(title, None, nothing("Nothing is known of any task."))
    about = "When each came to its end; bars are as high as their share of the row's fullest moment"

    def draw(width: float, _: int) -> Markup:
        return strips.drawn(rows, around, width)

    return section(title, about, _both(draw, 0), pairs(strips.key(rows), "does"))


def tracks(found: Sequence[Track], seen: Window, around: Setting) -> Markup | None:
    """What the pattern tells of itself over time; None if that is nothing."""
    if not found:
        return None

    def draw(width: float, _: int) -> Markup:
        return rows.drawn(found, seen, around, width)

    keys = [(f"stands {standing}", rows.MEANINGS[standing]) for standing in rows.standings(found)]
    keys += _shared_keys(around)
    about = "How many waited, and how each part stood; seconds since the first task was due"
    return section("Its parts over time", about, legend(keys), _both(draw, 0))


def _shared_keys(around: Setting) -> list[tuple[str, str]]:
    keys = [("fault", "a fault is in force, by its number")] if around.strikes else []
    return keys + [("lead", "a new leader's term")] * any(term.at_s > 0 for term in around.terms)


def nodes_over_time(history: History, seen: Window, around: Setting) -> Markup:
    found = lanes(history, seen, around.strikes)
    drawn = shown(found)
    title = "Timeline of the nodes"
    if not drawn:
        return section(title, None, nothing("Nothing is known of any node."))
    keys = [("life", "alive")]
    keys += [("leading", "leads")] * any(lane.led for lane in drawn)
    keys += [("fault", "struck")] * any(lane.strikes for lane in drawn)

    def draw(width: float, _: int) -> Markup:
        return timeline(drawn, seen.length_s, width, around.left(width))

    left_out = len(found) - len(drawn)
    more = f"; {plural(left_out, 'node')} to which less happened left out" * (left_out > 0)
    about = f"Seconds since the first task was due; numbers are those of the faults{more}"
    return section(title, about, legend(keys), _both(draw, 0))


def _both(draw: Callable[[float, int], Markup], buckets_max: int) -> Markup:
    """A drawing for wide pages and one for narrow ones."""
    return join(draw(WIDE, buckets_max), draw(NARROW, min(buckets_max, NARROW_BUCKETS_MAX)))
