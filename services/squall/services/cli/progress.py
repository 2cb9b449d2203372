"""Shows what is known of a run while it runs: a live table on a terminal, else a line every few seconds.

    Step ──► learned ──► Known ──rows──┬─► a table, drawn again four times a second
                                       └─► a line, every few seconds and at each stage

A result is printed in `Shown.aside`, so that it never stands on a line with progress.
"""

from __future__ import annotations

import contextlib
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from rich.live import Live
from rich.table import Table

from squall.services.cli.terminal import Terminal, styled
from squall.services.printing import PREFIX, say
from squall.services.run.progress import Awaited, InForce, Known, Notice, Phase, Step, learned

LINE_EVERY_S = 5.0
"""Between two lines where there is no terminal."""

DRAWN_A_SECOND = 4

FAULTS_MAX = 4
AWAITED_MAX = 2
"""How many are named; of the others it is said how many they are."""

GAP = "  "

LINE_WIDTH_MIN = 30
"""However narrow a terminal is said to be."""

Rows = Sequence[tuple[str, str]]


class Shown:
    """Where progress is shown. Made by `show_progress`."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._begun_s = now()
        self._lock = threading.Lock()
        self.known = Known(begun_s=self._begun_s)

    def tell(self, step: Step) -> None:
        """Take in what was learned."""
        now_s = self._now()
        with self._lock:
            self.known = learned(self.known, step, now_s)

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Show nothing inside the block, in which something else is printed."""
        yield

    def rows(self) -> Rows:
        return rows(self.known, self._now())


class _Drawn(Shown):
    """A table at the bottom of a terminal."""

    def __init__(self, terminal: Terminal, now: Callable[[], float]) -> None:
        super().__init__(now)
        self._terminal = terminal
        self._live: Live | None = None

    def begin(self) -> None:
        # What is said on standard error meanwhile goes above it; standard output may be a file.
        self._live = Live(
            console=self._terminal,
            get_renderable=lambda: drawn(self.rows()),
            refresh_per_second=DRAWN_A_SECOND,
            transient=True,
            redirect_stdout=False,
        )
        self._live.start()

    def end(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def tell(self, step: Step) -> None:
        super().tell(step)
        if isinstance(step, Phase) and self._live is not None:
            self._live.refresh()  # so that each is seen, however soon the next begins
        if isinstance(step, Notice):
            self._terminal.print(styled(_noticed(self.known, step, self._now())))

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        self.end()
        try:
            yield
        finally:
            self.begin()


class _Said(Shown):
    """A line on standard error, every few seconds and whenever a stage begins."""

    def __init__(self, width: int, now: Callable[[], float]) -> None:
        super().__init__(now)
        self._width = width - len(PREFIX)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="progress", daemon=True)

    def begin(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._over.set()
        self._thread.join()

    def tell(self, step: Step) -> None:
        before = self.known.stage
        super().tell(step)
        if isinstance(step, Notice):
            say(_noticed(self.known, step, self._now()))
        elif isinstance(step, Phase) and step.stage != before:
            self._say()

    def _go_on(self) -> None:
        while not self._over.wait(LINE_EVERY_S):
            if self.known.stage is not None or self.known.run:
                self._say()

    def _say(self) -> None:
        for line in as_lines(self.rows(), self._width):
            say(line)


@contextlib.contextmanager
def show_progress(*, quiet: bool = False, terminal: Terminal | None = None) -> Iterator[Shown]:
    """Show what a run's parts tell, while the block runs, on standard error.

    Args:
        quiet: Show nothing.
        terminal: Where to draw, in place of standard error.
    """
    terminal = terminal or Terminal(stderr=True)
    if quiet:
        yield Shown(time.monotonic)
        return
    can_draw = terminal.is_terminal and not terminal.is_dumb_terminal
    shown = _Drawn(terminal, time.monotonic) if can_draw else _Said(terminal.width, time.monotonic)
    shown.begin()
    try:
        yield shown
    finally:
        shown.end()


# What is shown. Pure.


def rows(known: Known, now_s: float) -> Rows:
    """What there is to show of what is known, a name and a text each."""
    found = [(known.run or "run", _whole(known, now_s))]
    if known.stage is not None:
        found.append(("stage", _stage(known, now_s)))
    if known.faults:
        found.append(("in force", _some([_in_force(each, now_s) for each in known.faults], FAULTS_MAX)))
    if known.offered is not None:
        counts = f"offered {known.offered:,}, accepted {known.accepted or 0:,}, ended {known.ended or 0:,}"
        found.append(("tasks", counts))
    if known.leader is not None:
        found.append(("leads", known.leader or "nobody"))
    if known.awaited:
        found.append(("waits for", _some([_awaited(each, now_s) for each in known.awaited], AWAITED_MAX)))
    return found


def drawn(shown: Rows) -> Table:
    """Rows as a table, whose texts are folded between words."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column()
    for place, (name, text) in enumerate(shown):
        table.add_row(styled(name, "dim" if place else "bold"), styled(text))
    return table


def as_lines(shown: Rows, width: int) -> list[str]:
    """Rows beside each other, as many on a line as fit; all lines but the first are indented."""
    (name, text), *others = shown
    lines = [f"{name}: {text}"]
    for other in (f"{name} {text}" for name, text in others):
        if len(lines[-1]) + len(GAP) + len(other) <= width:
            lines[-1] += GAP + other
        else:
            lines.append(GAP + other)
    room = max(LINE_WIDTH_MIN, width)
    return [
        part
        for line in lines
        for part in textwrap.wrap(line, room, subsequent_indent=2 * GAP, break_on_hyphens=False)
    ]


def _whole(known: Known, now_s: float) -> str:
    parts = []
    if known.number is not None:
        parts.append(f"{known.number} of {known.runs}" if known.runs is not None else f"run {known.number}")
    parts.append(f"{_since(known, now_s)} so far")
    if known.series_until_s is not None:
        parts.append(f"about {_span(known.series_until_s - now_s)} left of the series")
    return ", ".join(parts)


def _stage(known: Known, now_s: float) -> str:
    text = str(known.stage)
    if known.ends_s is not None and known.ends_s > now_s:
        text += f", about {_span(known.ends_s - now_s)} left"
    if known.until_s is not None and known.until_s > now_s:
        given_up = _span(known.until_s - known.stage_s)
        text += f" for {_span(now_s - known.stage_s)}, given up after {given_up}"
    return text


def _in_force(each: InForce, now_s: float) -> str:
    fault = each.fault
    nodes = "" if fault.nodes == (fault.target,) else f" ({_some(fault.nodes, FAULTS_MAX)})"
    return f"{fault.kind} of {fault.target}{nodes} for {_span(now_s - each.since_s)}"


def _awaited(each: Awaited, now_s: float) -> str:
    if each.until_s is None or each.until_s <= now_s:
        return each.what
    return f"{each.what}, {_span(each.until_s - now_s)} at most"


def _noticed(known: Known, notice: Notice, now_s: float) -> str:
    """What is told once, with its time."""
    return f"{now_s - known.begun_s:.1f} s  {notice.text}"


def _some(texts: Sequence[str], most: int) -> str:
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more


def _since(known: Known, now_s: float) -> str:
    return _span(now_s - known.begun_s)


def _span(seconds: float) -> str:
    """A length of time as one reads it, for instance ``9 s``, ``2 min 5 s`` or ``3 h 10 min``."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
