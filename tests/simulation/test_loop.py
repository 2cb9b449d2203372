"""The loop on virtual time: processes that are stopped and killed between two callbacks, and nothing else."""

from __future__ import annotations

import asyncio

import pytest

from squall.bus.tasks import look_again
from squall.chaos.simulation.loop import Process, SimulationError, VirtualLoop, current


def run_in(loop: VirtualLoop, process: Process, work: object) -> None:
    """Begin something in a process."""
    loop.call_soon(lambda: loop.create_task(work), context=process.context())  # type: ignore[arg-type]


def test_time_passes_only_by_timers_and_none_is_waited_for() -> None:
    loop = VirtualLoop()

    async def main() -> list[float]:
        times = [loop.time()]
        for pause_s in (0.5, 3600.0, 0.0):
            await asyncio.sleep(pause_s)
            times.append(loop.time())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(7.0):
                await asyncio.Event().wait()
        return [*times, loop.time()]

    assert loop.run(main()) == [0.0, 0.5, 3600.5, 3600.5, 3607.5]


def test_what_stands_still_does_nothing_and_goes_on_where_it_was() -> None:
    loop, process, seen = VirtualLoop(), Process("a"), list[tuple[str, float]]()

    async def work() -> None:
        while True:
            await asyncio.sleep(1.0)
            seen.append((current().name, loop.time()))

    async def main() -> None:
        run_in(loop, process, work())
        await asyncio.sleep(1.5)
        process.stands_still = True
        await asyncio.sleep(10.0)
        assert seen == [("a", 1.0)]
        loop.go_on(process)
        await asyncio.sleep(1.2)

    loop.run(main())
    assert seen == [("a", 1.0), ("a", 11.5), ("a", 12.5)]


def test_what_is_killed_runs_nothing_to_its_end() -> None:
    loop, process, ended = VirtualLoop(), Process("a"), list[str]()

    async def work() -> None:
        try:
            await asyncio.sleep(1.0)
        finally:
            ended.append("finally")

    async def main() -> None:
        run_in(loop, process, work())
        await asyncio.sleep(0.5)
        process.is_dead = True
        await asyncio.sleep(5.0)

    loop.run(main())
    assert ended == []


def test_what_holds_up_its_process_delays_the_rest_of_it_and_nobody_else() -> None:
    loop, slow, other, seen = VirtualLoop(), Process("slow"), Process("other"), list[tuple[str, float]]()

    async def tick() -> None:
        while True:
            await asyncio.sleep(1.0)
            seen.append((current().name, loop.time()))

    async def main() -> None:
        run_in(loop, slow, tick())
        run_in(loop, other, tick())
        slow.busy_until_s = 2.5
        await asyncio.sleep(3.7)

    loop.run(main())
    assert [at for name, at in seen if name == "other"] == [1.0, 2.0, 3.0]
    assert [at for name, at in seen if name == "slow"] == [3.5]


def test_callbacks_of_one_moment_run_in_the_order_in_which_they_were_asked_for() -> None:
    loop, seen = VirtualLoop(), list[int]()

    async def main() -> None:
        for number in range(5):
            loop.call_later(1.0, seen.append, number)
        await asyncio.sleep(2.0)

    loop.run(main())
    assert seen == [0, 1, 2, 3, 4]


def test_a_world_in_which_nothing_will_happen_ends() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(SimulationError, match="nothing will ever happen again"):
        VirtualLoop().run(main())


def test_whoever_spins_lets_time_pass() -> None:
    loop = VirtualLoop()

    async def main() -> float:
        timer = loop.create_future()
        loop.call_later(0.01, timer.set_result, None)
        while not timer.done():
            await asyncio.sleep(0)
        return loop.time()

    assert loop.run(main()) >= 0.01


def test_what_a_callback_raises_is_kept_and_ends_nobody() -> None:
    loop = VirtualLoop()

    async def main() -> None:
        loop.call_soon(lambda: 1 // 0)
        await asyncio.sleep(1.0)

    loop.run(main())
    assert [said.splitlines()[-1] for said in loop.failures] == [
        "ZeroDivisionError: integer division or modulo by zero"
    ]


@pytest.mark.parametrize("ask", ["create_connection", "add_reader", "subprocess_exec"])
def test_the_outside_cannot_be_reached(ask: str) -> None:
    async def main() -> None:
        asked = getattr(VirtualLoop(), ask)(*(None,) * 2)
        if asyncio.iscoroutine(asked):
            await asked

    with pytest.raises(NotImplementedError):
        VirtualLoop().run(main())


def test_who_looks_again_is_woken_by_the_event_or_once_the_time_has_passed() -> None:
    loop, woken = VirtualLoop(), list[float]()

    async def looking(event: asyncio.Event) -> None:
        while True:
            event.clear()
            await look_again(event, 1.0)
            woken.append(loop.time())

    async def main() -> None:
        event = asyncio.Event()
        work = asyncio.create_task(looking(event))
        await asyncio.sleep(2.5)
        event.set()
        await asyncio.sleep(1.25)
        work.cancel()
        await asyncio.sleep(5.0)

    loop.run(main())
    assert woken == [1.0, 2.0, 2.5, 3.5]


def test_a_call_that_is_cancelled_is_not_made_and_does_not_move_time() -> None:
    loop, made = VirtualLoop(), list[str]()

    async def main() -> float:
        loop.call_later(1.0, made.append, "early").cancel()
        late = loop.call_later(9.0, made.append, "late")
        loop.call_soon(made.append, "never").cancel()
        await asyncio.sleep(2.0)
        late.cancel()
        assert late.cancelled()
        return loop.time()

    assert loop.run(main()) == 2.0
    assert made == []
