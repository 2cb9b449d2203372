"""What cannot be used is told in one sentence with its remedy, and exits with 2; nothing is begun."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.unit.histories import good_run

SENTENCE_LENGTH_MAX = 230
"""With its remedy; three lines of a terminal."""

SPECS = [
    ("agents = 'four'", "agents"),
    ("agents = ", "not valid TOML"),
    ('swarm = "*"', "swarm name"),
    ('swarm = "peer:>"', "swarm name"),
    ('swarm = "a.b"', "swarm name"),
    ('swarm = ""', "swarm name"),
    ('swarm = "Upper"', "swarm name"),
    (f'swarm = "{"x" * 300}"', "swarm name"),
    ("window_max = 10", "would starve"),
    ("retry_base_s = 20", "retry_cap_s"),
    ("lease_s = 0", "lease_s"),
    ('workload = "dreams"', "workload"),
    ('distribution = "fair"', "is no choice"),
    ('distribution = "specialised"', "no agent has the capability momentum"),
    ('capabilities = {agent-1 = ["pairs"]}', "of no use where distribution"),
    ('distribution = "specialised"\ncapabilities = {agent-9 = ["pairs"]}', "there is no such agent"),
    (
        'distribution = "specialised"\ncapabilities = '
        '{agent-1 = ["momentum", "mean-reversion", "pairs", "arbitrage", "luck"]}',
        "no task needs the capability luck",
    ),
    (
        'distribution = "specialised"\nhandler = "mine:decide"\ntasks = "good.jsonl"',
        "no agent has a capability that a task of yours could need",
    ),
    (
        'distribution = "specialised"\nhandler = "mine:decide"\ntasks = "good.jsonl"\n'
        'capabilities = {agent-1 = ["a.b"]}',
        "capability",
    ),
    ('handler = "mine:decide"\nhedge_after = 2.0', "does not say that it may be"),
    ("hedge_after = 0.5", "sooner than most"),
    ("hedge_after = -1", "hedge_after"),
    ('pattern = "star"\nhedge_after = 2.0', "only one spoke has its class"),
    ('pattern = "star"\ncapabilities = {agent-1 = ["pairs-wti"]}', "of no use where distribution"),
    (
        'pattern = "star"\ndistribution = "specialised"\ncapabilities = {agent-1 = ["pairs-wti"]}',
        "no agent has the capability momentum-sp500",
    ),
]
"""What a spec says, and what is said of that."""

HANDLER = 'handler = "mine:decide"\n'

FILES = {
    **{f"spec-{n}.toml": toml for n, (toml, _) in enumerate(SPECS)},
    "empty.toml": "",
    "bad.jsonl": "nonsense\n",
    "good.jsonl": '{"key": "a", "body": 1}\n',
    "bad.csv": "id,body\n1,2\n",
    "own.toml": 'tasks = "own.jsonl"\nhandler = "mine:decide"\n',
    "secret.toml": f'{HANDLER}[tasks]\nuse = "nats:orders.new"\nserver = "nats://me:pw@127.0.0.1"\n',
    "misspelt.toml": f'{HANDLER}[tasks]\nuse = "nats:orders.new"\nsever = "nats://127.0.0.1"\n',
    "guest.toml": '[handler]\nuse = "nats:a.b"\nguest = "pricer"\nserver = "nats://127.0.0.1"\n',
    "called.toml": '[handler]\nuse = "nats:a.b"\nguest = "the pricer"\n',
    "reserved.toml": '[handler]\nuse = "nats:$JS.API.INFO"\nguest = "pricer"\n',
    "subject.toml": f'{HANDLER}tasks = "nats:orders.new"\n',
    "seedless.toml": '[[interval]]\nfault = "crash"\ntarget = "leader"\n',
    "quiet.toml": "seed = 1\n",
    "quote.toml": 'pattern = "star\n',
    "table.toml": 'seed = 1\n[interval]\nfault = "crash"\n',
    "brief.toml": 'seed = 1\n[[interval]]\nfault = "latency"\ntarget = "gateway"\n',
    "aimless.toml": 'seed = 1\n[[interval]]\nfault = "crash"\n',
    "series/series.json": '{"runs": ["seed-1", "tail"], "all_faults": false}',
    "series/seed-1/history.jsonl": "",
    "series/tail/history.jsonl": "",
    "emptied/series.json": '{"runs": ["seed-1"], "all_faults": false}',
    "broken/series.json": '{"runs": 5}',
    "broken/seed-7/history.jsonl": "",
    "torn/series.json": '{"runs": ["se',
    "no-toml/spec.toml": "pattern = ",
    "no-toml/history.jsonl": "",
    "no-pattern/spec.toml": "seed = 7\n",
    "no-spec/history.jsonl": "",
}


ONE_BY_ONE = """
import json, os, shlex, sys
import pydantic, typer._adapters  # which typer imports when it first needs them
from squall.chaos.cli import chaos, check, report
from squall.services.cli.main import main
pydantic.TypeAdapter(int)
lines, out = json.load(sys.stdin), os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
for line in lines:
    ours, theirs = os.pipe(), os.pipe()
    if not os.fork():
        os.dup2(ours[1], 1), os.dup2(theirs[1], 2)
        sys.argv[1:] = shlex.split(line)
        main()
    os.close(ours[1]), os.close(theirs[1])
    said = [open(pipe[0]).read() for pipe in (ours, theirs)]
    os.write(out, json.dumps([os.waitstatus_to_exitcode(os.wait()[1]), *said]).encode() + b"\\n")
"""
"""Does each of some lines in a process of its own, which need not import everything anew."""


@dataclass(frozen=True)
class Ended:
    """How a command line ended."""

    code: int
    out: str
    err: str


def do(lines: Sequence[str], folder: Path, told: Path) -> Mapping[str, Ended]:
    """Do some command lines in a folder, one after the other."""
    subprocess.run(
        [sys.executable, "-c", ONE_BY_ONE, told],
        cwd=folder,
        env={**os.environ, "COLUMNS": "80"},
        input=json.dumps(lines),
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
    )
    ended = [Ended(*json.loads(line)) for line in told.read_text().splitlines()]
    return dict(zip(lines, ended, strict=True))


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Ended]:
    """How each line ended, in a folder with files that cannot be used, and one run that can."""
    folder = tmp_path_factory.mktemp("unusable")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    good_run().write(folder / "run")
    before = sorted(folder.rglob("*"))
    found = do([*(line for line, _ in REFUSED), *AS_DOCUMENT, *TAKEN], folder, folder.parent / "told.jsonl")
    assert sorted(folder.rglob("*")) == before, "something was begun"
    return found


UNTOLD = "so that nobody knows what the run was asked for; put back the one that it was run with"
INTERVAL = "an interval has: fault, target"


REFUSED = [
    *((f"run spec-{n}.toml", words) for n, (_, words) in enumerate(SPECS)),
    ("run nosuch", "there is no pattern 'nosuch'; there are hierarchical, star, mesh"),
    ("run mesch", "there is no pattern 'mesch'; did you mean 'mesh'?"),
    ("run starr", "there is no pattern 'starr'; did you mean 'star'?"),
    ("run ''", "there is no pattern ''; there are"),
    ("run canary", "the pattern canary is not built yet; use"),
    ("run mine.py", "mine.py is no pattern; hierarchical --handler mine.py:decide"),
    ("run hierarchical --handler nope", "package.module:function or path/to/file.py:function"),
    ("run hierarchical --handler ''", "the handler '' names no function; a handler is"),
    ("run hierarchical --handler exce:./agent.sh", "of no kind that there is: exce:; did you mean exec:?"),
    ("run hierarchical --handler exec:", "the handler 'exec:' names nothing; for instance exec:./agent.sh"),
    (
        "simulate hierarchical --handler exec:sh",
        "needs a process of its own, which no simulated world has; name a Python function",
    ),
    (
        "run hierarchical --tasks-from '' --handler mine:decide",
        "--tasks-from names no file and no subject; for instance",
    ),
    ("run hierarchical --tasks-from no.jsonl --handler mine:decide", "no.jsonl cannot be read: No such file"),
    ("run hierarchical --tasks-from mine.py --handler mine:decide", "name it .jsonl or .csv, as what it is"),
    ("run hierarchical --tasks-from bad.jsonl --handler mine:decide", "bad.jsonl holds no task: line 1 is"),
    ("run hierarchical --tasks-from bad.csv --handler mine:decide", "bad.csv has no column called key; name"),
    ("run hierarchical --tasks-from bad.jsonl", "trades bars, and cannot read tasks of your own; name yours"),
    (
        "run hierarchical --tasks-from nats:orders.* --handler mine:decide",
        "'nats:orders.*' names no subject without wildcards; for instance nats:orders.new",
    ),
    (
        "run hierarchical --tasks-from good.jsonl --seconds 5 --handler mine:decide",
        "seconds is of no use to tasks = 'good.jsonl', which is read to its end; leave it out",
    ),
    ("run secret.toml", "tasks: credentials do not belong in a URL; [tasks] credentials = 'BROKER_CREDS'"),
    ("run misspelt.toml", "says 'sever' of the tasks, which none has; did you mean 'server'?"),
    ("chaos subject.toml", "nats:orders.new comes once, and a series runs it several times; to a file"),
    ("simulate subject.toml --schedules 1", "nats:orders.new comes once; to a file"),
    (
        "run guest.toml",
        "has a broker of its own, and is a guest of the swarm's; leave server and credentials out",
    ),
    ("run called.toml", "is a guest called 'the pricer', which can be no name; guest = 'pricer'"),
    ("run reserved.toml", "is a guest on a subject of the swarm's or the broker's; nats:prices.decide"),
    ("creds agent x", "there are no credentials for a 'agent'; use guest"),
    ("creds guest pricer", "no swarm runs in runs; name the directory of a run that goes on with --run"),
    ("run own.toml", "own.jsonl cannot be read: No such file"),
    ("run hierarchical --results no/such.jsonl", "there is no folder no; make it, or name another file"),
    ("run hierarchical --results bad.jsonl", "bad.jsonl holds something already; name another file"),
    (
        "run hierarchical --tasks-from good.jsonl --handler mine:decide --results bad.jsonl",
        "bad.jsonl holds something already, and line 1 of it is no result; name another file with --results",
    ),
    ("chaos own.toml", "own.jsonl cannot be read: No such file"),
    ("simulate own.toml --schedules 1", "own.jsonl cannot be read: No such file"),
    ("run hierarchical --tasks ''", "--tasks takes a whole number; see `squall run --help`"),
    ("run hierarchical --tasks 1e3", "--tasks takes a whole number; see `squall run --help`"),
    ("run hierarchical --rate fast", "--rate takes a number; see `squall run --help`"),
    (
        "run hierarchical --on docker",
        "nodes cannot run on 'docker'; leave --on out, or choose one of processes",
    ),
    ("chaos hierarchical --on docker", "nodes cannot run on 'docker'; leave --on out"),
    ("chaos hierarchical --fault disconnect", "disconnect can only be done to nodes that run on containers"),
    ("run hierarchical --on containers --nats nats://127.0.0.1:1", "cannot have a broker of yours yet"),
    ("run", "Missing argument 'pattern'; see `squall run --help`"),
    ("run hierarchical --nope", "No such option: --nope; see `squall run --help`"),
    ("nope", "see `squall --help`"),
    ("chaos hierarchical --seeds 0", "--seeds takes at least 1; see `squall chaos --help`"),
    (
        "chaos hierarchical --toxiproxy-port 70000",
        "--toxiproxy-port takes at most 65535",
    ),
    ("run ./quote.toml", "quote.toml is not valid TOML: in line 1, a quote is not closed"),
    ("chaos hierarchical --schedule table.toml", "each interval begins with a line [[interval]]"),
    (
        "chaos hierarchical --schedule brief.toml",
        "latency of gateway lasts for no time; for instance for_s = 2.0",
    ),
    ("run hierarchical --out ''", "'--out': it is empty"),
    ("chaos hierarchical --out ''", "'--out': it is empty"),
    ("chaos hierarchical --schedule ''", "'--schedule': it is empty"),
    ("chaos hierarchical --fault nope", "there is no fault 'nope'; there are crash, pause, latency,"),
    ("chaos hierarchical --fault latncy@leader", "there is no fault 'latncy'; did you mean latency?"),
    ("chaos hierarchical --fault ''", "there is no fault ''; there are crash"),
    ("chaos hierarchical --schedule empty.toml", f"it has no seed, from which targets such; {INTERVAL}"),
    ("chaos hierarchical --schedule seedless.toml", f"it has no seed, from which targets; {INTERVAL}"),
    ("chaos hierarchical --schedule quiet.toml", f"strikes nothing: it has no [[interval]]; {INTERVAL}"),
    ("chaos hierarchical --schedule aimless.toml", f"in interval 1, there is no target; {INTERVAL}"),
    ("explain ''", "no word is named; `squall explain` alone lists all words"),
    ("explain 'V0 something'", "there is no word 'V0 something'; did you mean 'V0'?"),
    ("explain 'what is a register'", "did you mean 'register'?"),
    (f"explain {'x' * 300}", "…'; `squall explain` alone lists all words"),
    ("check ''", "'run': it is empty"),
    ("report ''", "'run': it is empty"),
    ("report run --out ''", "'--out': it is empty"),
    (
        "report run --out nowhere/page.html",
        "nowhere/page.html cannot be written; name another with --out",
    ),
    ("report run --out .", ". is a directory, and a page is a file; name one in it"),
    ("report run --out /", "/ is a directory, and a page is a file; for instance /report.html"),
    ("report series --out nowhere/page.html", "cannot be written; name another with --out"),
    ("trace '' --run run", "no task is named"),
    ("trace a-1 --run ''", "'--run': it is empty"),
    (
        "trace a-1 --run series",
        "series is a series of runs; for instance series/seed-1; there are 2 in it",
    ),
    ("trace a-1 --run emptied", "emptied is a series of runs; no run is left in it"),
    ("trace a-1 --run broken", "broken is a series of runs; for instance broken/seed-7"),
    (
        "check broken",
        "broken/series.json cannot be read; name one of its runs, for instance broken/seed-7",
    ),
    ("report broken", "broken/series.json cannot be read; name one of its runs"),
    ("check torn", "torn/series.json cannot be read; no run is left in it: name another directory"),
    ("check no-toml", f"no-toml/spec.toml is not valid TOML; {UNTOLD}"),
    ("report no-toml", f"no-toml/spec.toml is not valid TOML; {UNTOLD}"),
    ("check no-pattern", f"no-pattern/spec.toml names no pattern; {UNTOLD}"),
    ("check no-spec", f"no-spec/spec.toml is missing; {UNTOLD}"),
    ("report no-spec", f"no-spec/spec.toml is missing; {UNTOLD}"),
]
"""Lines, and parts of what is said of them."""

AS_DOCUMENT = [
    "run hierarchical --out '' --json",
    "run hierarchical --results - --json",
    "run --json",
    "check no-spec --json",
]

TAKEN = ["plan ./empty.toml", "plan hierarchical"]


@pytest.mark.parametrize(("line", "told"), REFUSED)
def test_it_is_one_sentence_with_its_remedy(ended: Mapping[str, Ended], line: str, told: str) -> None:
    done = ended[line]
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("squall: ")
    assert done.err.count("\n") == 1
    assert len(done.err) <= SENTENCE_LENGTH_MAX
    assert [part for part in told.split("; ") if part not in done.err] == [], done.err


@pytest.mark.parametrize("line", AS_DOCUMENT)
def test_it_is_a_document_where_one_was_asked_for(ended: Mapping[str, Ended], line: str) -> None:
    done = ended[line]
    error = json.loads(done.out)["error"]
    assert (done.code, error["kind"]) == (2, "input")
    assert error["message"]
    assert error["remedy"]


def test_a_file_that_says_nothing_is_told_of_and_its_defaults_are_taken(ended: Mapping[str, Ended]) -> None:
    empty, named = (ended[line] for line in TAKEN)
    assert (empty.code, empty.out) == (0, named.out)
    assert empty.err == "squall: empty.toml says nothing, and all defaults of hierarchical are taken\n"
    assert named.err == ""
