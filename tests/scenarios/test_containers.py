"""``--on containers``: a swarm to its verdict, broken by the engine, and attacked from inside an agent."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.engine import need_engine

SQUALL = Path(sys.executable).parent / "squall"
LABEL = "squall"

pytestmark = [pytest.mark.nats, pytest.mark.swarm, pytest.mark.timeout(300)]


@pytest.fixture(scope="module", autouse=True)
def engine() -> None:
    need_engine()


def docker(*words: str, check: bool = True) -> str:
    done = subprocess.run(["docker", *words], capture_output=True, text=True, timeout=60, check=check)
    return done.stdout.strip()


def of(run: Path) -> dict[str, str]:
    """The containers of a run, by the node that each is."""
    listed = docker("ps", "--filter", f"label={LABEL}={run}", "--format", "{{.ID}}").split()
    return {docker("inspect", "--format", "{{.Config.Hostname}}", each): each for each in listed}


def what_is_left(run: Path) -> list[str]:
    found = docker("ps", "--all", "--quiet", "--filter", f"label={LABEL}={run}").split()
    return found + docker("network", "ls", "--quiet", "--filter", f"label={LABEL}={run}").split()


@pytest.fixture
def going_on(tmp_path: Path) -> Iterator[tuple[Path, subprocess.Popen[str], dict[str, str]]]:
    """A swarm whose load goes on for long, its command, and its containers."""
    path = tmp_path / "run"
    call = [SQUALL, "run", "hierarchical", "--on", "containers", "--tasks", "100000", "--rate", "50"]
    command = subprocess.Popen(
        [*call, "--quiet", "--json", "--out", path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        deadline = time.monotonic() + 120
        while "producer" not in (containers := of(path)):
            assert time.monotonic() < deadline, "the producer is not there"
            assert command.poll() is None, command.communicate()
            time.sleep(0.2)  # a look at what another process does
        yield path, command, containers
    finally:
        command.kill()
        command.communicate()
        subprocess.run([SQUALL, "sweep"], check=True, timeout=120)


def test_a_run_in_containers_passes_as_one_of_processes_does_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "run"
    call = [SQUALL, "run", "hierarchical", "--on", "containers", "--tasks", "600", "--json", "--quiet"]
    done = subprocess.run([*call, "--out", path], capture_output=True, text=True, timeout=200, check=False)
    document = json.loads(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert document["target"] == "containers"
    assert (document["accepted"], document["effects"], document["lost"], document["duplicated"]) == (
        600,
        600,
        0,
        0,
    )
    assert what_is_left(path) == []
    assert not (path / "containers").exists()
    assert (path / "venue.sqlite").is_file()
    faults = [json.loads(line) for line in (path / "faults.jsonl").read_text().splitlines()]
    assert [(fault["kind"], fault["verified"]) for fault in faults] == [("pause", True)]


def test_a_container_is_killed_paused_and_taken_off_its_network(tmp_path: Path) -> None:
    schedule = tmp_path / "schedule.toml"
    intervals = [("disconnect", "leader", 1, 4), ("crash", "any-agent", 2, 0), ("pause", "any-agent", 8, 2)]
    text = "seed = 3\n"
    for fault, target, at_s, for_s in intervals:
        text += f'[[interval]]\nfault = "{fault}"\ntarget = "{target}"\nat_s = {at_s}\nfor_s = {for_s}\n'
    schedule.write_text(text)
    call = [
        SQUALL,
        "chaos",
        "hierarchical",
        "--on",
        "containers",
        "--schedule",
        schedule,
        "--json",
        "--quiet",
    ]
    done = subprocess.run(
        [*call, "--out", tmp_path / "series"], capture_output=True, text=True, timeout=280, check=False
    )
    [run] = json.loads(done.stdout)["runs"]
    failed = [check["id"] for check in run["checks"] if check["verdict"] == "fail"]
    assert not failed, done.stderr  # of a machine without time left nothing more is asked
    assert (run["lost"], run["duplicated"]) == (0, 0)
    path = tmp_path / "series" / "schedule"
    ended = [json.loads(line) for line in (path / "faults.jsonl").read_text().splitlines()]
    healed = {fault["kind"]: fault["verified"] for fault in ended if fault.get("healed_s")}
    assert healed == {"disconnect": True, "crash": True, "pause": True}
    assert what_is_left(path) == []


CONNECTS = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 2)"

ATTACKS = {
    "be the superuser": ("id -u", "10001"),
    "have a capability": ("grep CapEff /proc/self/status", "CapEff:\t0000000000000000"),
    "gain a privilege": ("grep NoNewPrivs /proc/self/status", "NoNewPrivs:\t1"),
    "write to the system": ("touch /usr/mine || echo no", "no"),
    "reach the engine": ("ls /run/docker.sock /var/run/docker.sock 2>/dev/null || echo no", "no"),
    "read others' folders": ("ls /squall", "history.jsonl"),
    "find a secret in its environment": (
        "tr '\\0' '\\n' </proc/1/environ | grep -c -i -E 'eyJ|SU|token' || true",
        "0",
    ),
    "find a secret in its command line": (
        "tr '\\0' ' ' </proc/1/cmdline | grep -c -E 'eyJ|--token' || true",
        "0",
    ),
}
"""What somebody tries who has a shell in an agent's container, as its user, and what comes of it."""


def test_from_inside_an_agent_nothing_is_reached_but_its_way_to_the_broker(
    going_on: tuple[Path, subprocess.Popen[str], dict[str, str]],
) -> None:
    _, _, containers = going_on
    agent = containers["agent-1"]
    came = {what: docker("exec", agent, "sh", "-c", command) for what, (command, _) in ATTACKS.items()}
    assert came == {what: expected for what, (_, expected) in ATTACKS.items()}

    def networks(node: str) -> list[str]:
        form = "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}"
        return docker("inspect", "--format", form, containers[node]).split()

    def gateway(network: str) -> str:
        return docker("network", "inspect", "--format", "{{(index .IPAM.Config 0).Gateway}}", network)

    def address(node: str, network: str) -> str:
        form = f'{{{{(index .NetworkSettings.Networks "{network}").IPAddress}}}}'
        return docker("inspect", "--format", form, containers[node])

    def reaches(address: str, port: int) -> bool:
        words = ("exec", agent, "python", "-c", CONNECTS, address, str(port))
        return (
            subprocess.run(["docker", *words], capture_output=True, timeout=60, check=False).returncode == 0
        )

    def listens(node: str) -> int:
        """The port that a node listens at, by its kernel's table."""
        table = docker("exec", containers[node], "cat", "/proc/net/tcp").splitlines()[1:]
        return next(int(row.split()[1].rpartition(":")[2], 16) for row in table if row.split()[3] == "0A")

    [nodes], [trade] = networks("agent-1"), networks("venue")
    assert sorted(networks("gateway")) == sorted([nodes, trade])
    assert not reaches(address("venue", trade), listens("venue"))
    assert not reaches(gateway(trade), 22)
    assert not reaches("1.1.1.1", 53)
    broker = listened_at(gateway(nodes))
    assert reaches(gateway(nodes), broker), "its own way"
    said = docker("exec", agent, "python", "-c", ASKS, gateway(nodes), str(broker))
    assert "Authorization Violation" in said


ASKS = """
import socket, sys
way = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)
way.sendall(b"CONNECT {}\\r\\nPING\\r\\n")
way.settimeout(5)
said = b""
while b"ERR" not in said and (data := way.recv(4096)):
    said += data
print(said.decode(errors="replace")[-200:])
"""


def listened_at(address: str) -> int:
    """The port at an address of this machine that somebody listens at."""
    packed = "".join(f"{int(part):02X}" for part in reversed(address.split(".")))
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return next(int(row[1][9:], 16) for row in rows if row[1].startswith(packed) and row[3] == "0A")


def test_what_the_engine_tells_of_a_node_holds_no_secret(
    going_on: tuple[Path, subprocess.Popen[str], dict[str, str]],
) -> None:
    _, _, containers = going_on
    for node, container in containers.items():
        told = json.loads(docker("inspect", container))[0]
        assert not told["HostConfig"]["Privileged"]
        assert told["HostConfig"]["ReadonlyRootfs"]
        assert told["HostConfig"]["CapDrop"] == ["ALL"]
        assert not any("sock" in mount["Source"] for mount in told["Mounts"])
        text = json.dumps(told)
        assert "eyJ" not in text, node
        assert "SEED" not in text, node


def test_a_killed_command_leaves_nothing_that_the_next_does_not_remove(
    going_on: tuple[Path, subprocess.Popen[str], dict[str, str]],
) -> None:
    path, command, containers = going_on
    docker("pause", containers["agent-1"])
    command.kill()
    command.communicate()
    swept = subprocess.run(
        [SQUALL, "sweep", "--json"], capture_output=True, text=True, timeout=120, check=True
    )
    assert json.loads(swept.stdout)["removed"] >= 3, "two networks, and what stood still"
    assert what_is_left(path) == []
    judged = subprocess.run([SQUALL, "check", path], capture_output=True, text=True, timeout=120, check=False)
    assert judged.returncode == 3
    assert "was not read back to its end" in " ".join(judged.stdout.split())
