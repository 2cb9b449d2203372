"""Whatever a run, a file name or a broker says: a terminal, a log and a page only show it."""

from __future__ import annotations

import ast
import io
import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table

from squall.chaos.tell.page import junit, markup
from squall.chaos.tell.table import print_run
from squall.services import printing
from squall.services.cli import doctor
from squall.services.cli.progress import drawn, show_progress
from squall.services.cli.table import print_table
from squall.services.cli.terminal import Terminal, styled
from squall.services.node.logs import PrintableFormatter, log_as_sentences
from squall.services.run.progress import Begun, Notice, Phase, Waiting
from squall.services.run.result import (
    HANDLER_CHECK,
    Busy,
    Check,
    Environment,
    Fault,
    Latency,
    Recovery,
    Result,
)

ROOT = Path(__file__).parents[2]
SQUALL = Path(sys.executable).parent / "squall"

DOORS = (
    "services/squall/services/printing.py",
    "services/squall/services/cli/terminal.py",
    "services/squall/services/cli/progress.py",
    "services/squall/services/node/logs.py",
    "services/squall/services/node/control.py",
    "chaos/squall/chaos/simulation/nature.py",
    "services/squall/services/starter/exec/agent.py",
)
"""Who may write to standard output or standard error, and make what does; the last but one and the one before
it for a node, the last in a program of its own, whose answers go there."""


HOSTILE = (
    "\x1b]52;c;ZXZpbA==\x07\x1b[1A\x1b[2K\x9b2J\u202e\u2066\u200b\ufeff\x00\x08"
    "\r\n::error::pwned\nverdict  pass\n##[group]x [bold red]m[/] [link=file:///etc]l[/link]"
    " :skull: \ud800\U000e0041"
)


def assert_harmless(shown: str) -> None:
    for character in shown.replace("\n", ""):
        assert character.isprintable() or character in "\u200d\ufffd", repr(character)
    for line in shown.splitlines():
        assert not line.strip().startswith("::"), line
        assert not line.startswith("verdict  pass"), line
        assert "##[" not in line
    shown.encode()


RUN = Path(HOSTILE.replace("/", "").replace("\0", ""))


def hostile_result() -> Result:
    fields: dict[str, Any] = dict.fromkeys(Result.__struct_fields__)
    fields |= {
        "pattern": HOSTILE,
        "run": HOSTILE,
        "target": HOSTILE,
        "latency_ms": Latency(),
        "recovery_s": Recovery(),
        "broker": (Busy(what="slow-call", at_s=1.0, took_s=2.0, said=HOSTILE),),
        "faults": (Fault(kind=HOSTILE, target=HOSTILE, start_s=1.0, end_s=2.0, verified=True),),
        "checks": (
            Check(id="H1", name=HOSTILE, verdict="fail", detail=HOSTILE),
            Check(id=HANDLER_CHECK, name=HOSTILE, verdict="fail", detail=HOSTILE, task=HOSTILE),
        ),
        "limits": (HOSTILE,),
        "environment": Environment(platform=HOSTILE),
    }
    return Result(**fields)


def screen(width: int = 80) -> tuple[Terminal, io.StringIO]:
    file = io.StringIO()
    return Terminal(file=file, width=width), file


# Every way out.


@pytest.mark.parametrize("width", [20, 80, 200])
def test_nothing_in_a_result_acts_in_its_table(width: int) -> None:
    console, file = screen(width)
    print_table(hostile_result(), console, RUN)
    assert_harmless(file.getvalue())
    console, file = screen(width)
    print_run(hostile_result(), console, RUN)
    assert_harmless(file.getvalue())


def test_nothing_acts_whatever_rich_is_given() -> None:
    console, file = screen()
    table = Table(HOSTILE, title=HOSTILE, caption=HOSTILE)
    table.add_row(HOSTILE)
    table.add_row(styled(HOSTILE, "bold"))
    console.print(table, HOSTILE, [HOSTILE], {HOSTILE: HOSTILE}, HOSTILE.encode(errors="replace"))
    console.print(HOSTILE, markup=True, emoji=True, highlight=True)
    assert_harmless(file.getvalue())
    assert "💀" not in file.getvalue()
    assert "[bold red]" in file.getvalue()


def test_colours_are_the_consoles_own() -> None:
    file = io.StringIO()
    console = Terminal(file=file, width=80)
    console._color_system = None
    console.print(styled("green", "green"), "\x1b[31mred")
    assert file.getvalue() == "green �[31mred\n"


@given(st.text(max_size=200))
def test_a_text_stays_on_its_line(text: str) -> None:
    console, file = screen(4000)
    console.print(text)
    assert len(file.getvalue().removesuffix("\n").splitlines()) <= 1


def test_a_reason_without_end_is_cut() -> None:
    console, file = screen()
    console.print("x" * 1_000_000)
    assert len(file.getvalue()) < 2 * printing.SENTENCE_LENGTH_MAX


def test_a_sentence_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    printing.say(HOSTILE)
    printing.print_line(HOSTILE)
    said = capsys.readouterr()
    for shown in (said.err, said.out):
        assert_harmless(shown)
        assert shown.count("\n") == 1
    assert said.err.startswith("squall: ")


def test_a_path_is_not_cut(capsys: pytest.CaptureFixture[str]) -> None:
    path = "/" + "x" * 4095
    printing.print_line(path)
    assert capsys.readouterr().out == f"{path}\n"


def test_a_document_is_the_same_data_and_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    data = {"reason": HOSTILE.replace("\ud800", "")}
    printing.print_document(data)
    shown = capsys.readouterr().out
    assert json.loads(shown) == data
    assert_harmless(shown)


def test_progress_is_shown_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    with show_progress() as shown:
        shown.tell(Begun(run=HOSTILE))
        shown.tell(Notice(HOSTILE))
        shown.tell(Waiting(what=f"an answer from {HOSTILE}"))
        shown.tell(Phase(stage="starting"))
    assert_harmless(capsys.readouterr().err)
    console, file = screen()
    console.print(drawn(shown.rows()))
    assert_harmless(file.getvalue())


def test_what_doctor_finds_is_shown_as_text() -> None:
    console, file = screen()
    doctor.show([doctor.Finding(HOSTILE, False, HOSTILE, HOSTILE)], console)
    assert_harmless(file.getvalue())


# Logs.


def logged(message: str, *arguments: object, error: BaseException | None = None) -> str:
    exception = (type(error), error, error.__traceback__) if error else None
    record = logging.LogRecord("squall", logging.INFO, "", 0, message, arguments, exception)
    return PrintableFormatter("%(asctime)s %(levelname)s %(message)s").format(record)


def test_a_record_is_one_line() -> None:
    line = logged("task failed: %s", HOSTILE)
    assert_harmless(line)
    assert "\n" not in line


def test_a_traceback_keeps_its_lines_and_none_of_them_poses_as_a_record() -> None:
    try:
        raise ValueError(f"{HOSTILE}\n2026-01-01 00:00:00,000 INFO all is well")
    except ValueError as error:
        shown = logged("handler failed", error=error)
    assert_harmless(shown)
    first, *rest = shown.split("\n")
    assert first.endswith("INFO handler failed")
    assert len(rest) > 3
    assert all(line.startswith("  ") for line in rest)


def test_a_traceback_without_end_is_cut() -> None:
    shown = logged("handler failed", error=ValueError("line\n" * 100_000))
    assert len(shown.splitlines()) <= printing.TRACEBACK_LINES_MAX + 2


def test_what_the_command_logs_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before = root.handlers[:]
    root.handlers[:] = []
    try:
        log_as_sentences()
        logging.getLogger("squall").warning("%s", HOSTILE)
        logging.getLogger("squall").warning("%d", "no number")
        said = capsys.readouterr().err
        assert_harmless(said)
        assert said.count("\n") == 2
        try:
            raise ValueError(HOSTILE)
        except ValueError:
            logging.getLogger("squall").exception("a defect")
    finally:
        root.handlers[:] = before
    first, *rest = capsys.readouterr().err.splitlines()
    assert first == "squall: a defect"
    assert any("ValueError" in line for line in rest)
    assert all(line.startswith("  ") for line in rest)
    assert_harmless("\n".join(rest))


# Pages.


def test_a_page_shows_what_would_turn_the_direction() -> None:
    shown = markup.text(HOSTILE)
    assert "\u202e" not in shown
    assert "\u200b" not in shown
    assert "\x9b" not in shown
    content = junit.render(hostile_result()).decode()
    assert not any(character in content for character in "\u202e\u2066\u200b\ufeff\x1b\x9b")


# The command itself.


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "\x1b[2K::error::"],
        ["\x1b]52;c;eA==\x07"],
        ["run", "hierarchical", "--\x1b[2K"],
        ["run", "hierarchical", "--tasks", "\x1b[2K\n::error::x"],
        ["run", "hierarchical", "--on", "\u202eabc"],
        ["run", "hierarchical", "--nats", "\x1b[2Knats://"],
        ["run", "./\udcff\x1b[2K.toml"],
        ["check", "./\x1b[2K\n::error::x"],
        ["trace", "\x1b[2K"],
        ["report", "./\x9b2J"],
        ["chaos", "--fault", "\x1b[2K@\u202e"],
    ],
    ids=repr,
)
def test_what_the_command_was_given_is_quoted_harmlessly(tmp_path: Path, arguments: list[str]) -> None:
    done = subprocess.run(
        [SQUALL, *(os.fsencode(argument) for argument in arguments)],
        cwd=tmp_path,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2, done
    said = done.stderr.decode()
    assert_harmless(said)
    assert all(line.startswith("squall: ") for line in said.splitlines())


def test_a_defect_is_shown_harmlessly() -> None:
    code = "from squall.services.printing import guard_streams; guard_streams(); raise ValueError({!r})"
    done = subprocess.run(
        [sys.executable, "-c", code.format(HOSTILE)], capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert_harmless(done.stderr.decode())
    assert b"ValueError" in done.stderr


# That no new way out is made.


def ways_out(source: str) -> list[str]:
    """What in a module's source writes to the terminal, or makes what writes there."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            owner = node.value.id if isinstance(node.value, ast.Name) else ""
            if owner == "sys" and node.attr in ("stdout", "stderr", "__stdout__", "__stderr__", "excepthook"):
                found.append(f"sys.{node.attr}")
            if (owner, node.attr) in (("logging", "basicConfig"), ("logging", "StreamHandler")):
                found.append(f"logging.{node.attr}")
            if owner in ("Text", "typer", "click") and node.attr in (
                "assemble",
                "from_markup",
                "from_ansi",
                "echo",
            ):
                found.append(f"{owner}.{node.attr}")
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id in ("Console", "Text", "Status", "Live", "print"):
                found.append(f"{node.func.id}()")
            if node.func.id == "print_exc":
                found.append("print_exc()")
        if isinstance(node, ast.ImportFrom):
            names = {alias.name for alias in node.names}
            if node.module == "sys" and names & {"stdout", "stderr"}:
                found.append("from sys")
            if node.module and node.module.startswith("rich") and names & {"print", "get_console", "Live"}:
                found.append(f"from {node.module}")
    return found


def test_only_the_doors_write_to_the_terminal() -> None:
    wrong = {
        str(path.relative_to(ROOT)): found
        for part in ("bus", "services", "chaos")
        for path in sorted((ROOT / part / "squall" / part).rglob("*.py"))
        if (found := ways_out(path.read_text())) and str(path.relative_to(ROOT)) not in DOORS
    }
    assert wrong == {}


@pytest.mark.parametrize(
    "source",
    [
        "import sys; sys.stdout.write('x')",
        "import sys\nout = sys.stderr",
        "from sys import stdout",
        "print('x')",
        "Console().print('x')",
        "Text('x')",
        "Text.from_markup('x')",
        "typer.echo('x')",
        "from rich import print",
        "logging.basicConfig()",
    ],
)
def test_another_way_out_would_be_seen(source: str) -> None:
    assert ways_out(source)


def test_documents_need_no_decoder_of_ours(capsys: pytest.CaptureFixture[str]) -> None:
    printing.print_document(hostile_result_without_surrogates())
    decoded = msgspec.json.decode(capsys.readouterr().out, type=Result)
    assert decoded == hostile_result_without_surrogates()


def hostile_result_without_surrogates() -> Result:
    checks = (Check(id="H1", name="n", verdict="fail", detail=HOSTILE.replace("\ud800", "")),)
    plain = {
        "pattern": None,
        "run": "r",
        "target": None,
        "faults": (),
        "broker": (),
        "limits": (),
        "environment": Environment(),
    }
    return msgspec.structs.replace(hostile_result(), checks=checks, **plain)
