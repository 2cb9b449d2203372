"""Who is suspected of what, and above all who is not. No server: a pool is told second by second."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from squall.services.rules.conduct import LISTEN_S, Bounds, Conduct, Look, Share, Suspicion

BOUNDS = Bounds(slots=4, attempts=5, ack_wait_s=5.0, retry_base_s=0.5, retry_cap_s=10.0, expires_s=5.0)


@dataclass
class Pool:
    """A pool as the broker sees it. Each second something happens to it, then the warden looks."""

    names: tuple[str, ...] = ("agent-1", "agent-2", "agent-3")
    bounds: Bounds = BOUNDS
    at_s: float = 0.0
    server: str = "one"
    delivered: int = 0
    held: int = 0
    waiting: int = 0
    queued: int = 0
    finished: int = 0
    registers: int = 0
    sent: dict[str, int] = field(default_factory=dict)
    sent_bytes: dict[str, int] = field(default_factory=dict)
    starts: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.conduct = Conduct(self.bounds)
        self.chance = random.Random(8)

    def send(self, agent: str, messages: int = 1, size: int = 0) -> None:
        self.sent[agent] = self.sent.get(agent, 0) + messages
        self.sent_bytes[agent] = self.sent_bytes.get(agent, 0) + size

    def ask(self, agent: str, batch: int = 1) -> None:
        self.send(agent)
        if self.conduct.listening:
            self.conduct.pulled(agent, batch)

    def deliver(self) -> int:
        self.delivered += 1
        return self.delivered

    def answer(self, agent: str, delivery: int, answer: bytes = b"+ACK", place: int | None = None) -> None:
        self.send(agent)
        if self.conduct.listening:
            self.conduct.answered(agent, delivery, delivery if place is None else place, answer, self.at_s)

    def work(self, agent: str, tasks: int) -> None:
        """An honest agent does so many tasks."""
        for _ in range(tasks):
            self.ask(agent)
            delivery = self.deliver()
            self.queued += 1
            self.send(agent, 1, 600)
            self.registers += 1
            self.answer(agent, delivery)
            self.finished += 1

    def look(self) -> Suspicion | None:
        self.at_s += 1.0
        agents = {
            name: Share(self.sent.get(name, 0), self.sent_bytes.get(name, 0), self.starts.get(name, 1))
            for name in self.names
        }
        return self.conduct.look(
            Look(
                self.at_s,
                self.server,
                self.delivered,
                self.held,
                self.waiting,
                self.queued,
                self.finished,
                self.registers,
                agents,
            )
        )

    def last(self, second: Callable[[], None], seconds: int = 60) -> Suspicion | None:
        """Let the same happen for so many seconds; the first suspicion."""
        for _ in range(seconds):
            second()
            suspicion = self.look()
            if suspicion is not None:
                return suspicion
        return None

    def others_work(self, *but: str, tasks: int = 10) -> None:
        for name in self.names:
            if name not in but:
                self.work(name, tasks)


BAD = "agent-2"

# Attacks: what a bad agent does in a second, beside the others' work.


def holds(pool: Pool) -> None:
    pool.others_work(BAD)
    pool.held = 20
    for place in range(9):
        pool.answer(BAD, place + 1, b"+WPI")


def holds_all_while_nobody_else_gets_anything(pool: Pool) -> None:
    pool.held, pool.waiting = 24, 500
    for place in range(24):
        pool.answer(BAD, place + 1, b"+WPI")


def gives_back_at_once(pool: Pool) -> None:
    pool.others_work(BAD, tasks=1)
    for _ in range(100):
        pool.ask(BAD)
        pool.answer(BAD, pool.deliver(), b"-NAK", place=7)


def gives_back_with_the_shortest_pause(pool: Pool) -> None:
    pool.others_work(BAD, tasks=1)
    for _ in range(100):
        pool.ask(BAD)
        pool.answer(BAD, pool.deliver(), b'-NAK {"delay": 1}', place=7)


def puts_off_for_an_hour(pool: Pool) -> None:
    pool.held, pool.waiting = 24, 500
    pool.answer(BAD, pool.deliver(), b'-NAK {"delay": 3600000000000}')


def removes_tasks(pool: Pool) -> None:
    pool.held, pool.waiting = 24, 500
    pool.answer(BAD, pool.deliver(), b"+TERM")


def answers_nothing(pool: Pool) -> None:
    pool.others_work(BAD, tasks=2)
    pool.held = 24
    for _ in range(8):
        pool.ask(BAD)
        pool.deliver()


def answers_what_was_never_delivered(pool: Pool) -> None:
    answers_nothing(pool)
    for number in range(20):
        pool.answer(BAD, int(pool.at_s) * 10**6 + number)


def floods(pool: Pool) -> None:
    pool.others_work(BAD)
    pool.send(BAD, 20_000, 2_000_000)


def floods_with_few_large_messages(pool: Pool) -> None:
    pool.others_work(BAD)
    pool.send(BAD, 90, 90_000_000)


def fills(pool: Pool) -> None:
    pool.others_work(BAD)
    pool.send(BAD, 150, 3_000_000)
    pool.registers += 150


@pytest.mark.parametrize(
    ("attack", "reason"),
    [
        (holds, "it holds 9 deliveries and has 4 slots"),
        (holds_all_while_nobody_else_gets_anything, "it holds 24 deliveries and has 4 slots"),
        (gives_back_at_once, "it puts the same task off over and over"),
        (gives_back_with_the_shortest_pause, "it puts the same task off over and over"),
        (puts_off_for_an_hour, "it puts tasks off for longer than any pause"),
        (removes_tasks, "it answers deliveries with a word that no agent uses"),
        (answers_nothing, "it asks for work and does not answer"),
        (answers_what_was_never_delivered, "it asks for work and does not answer"),
        (floods, "it sends far more than its work explains"),
        (floods_with_few_large_messages, "it sends far more than its work explains"),
        (fills, "it writes registers of tasks that there are not"),
    ],
)
def test_one_bad_agent_is_suspected_of_what_it_does(attack: Callable[[Pool], None], reason: str) -> None:
    pool = Pool()
    assert pool.last(pool.others_work, 5) is None
    assert pool.last(lambda: attack(pool)) == Suspicion(BAD, reason)


# What honest agents show.


def all_is_well(pool: Pool) -> None:
    pool.others_work(tasks=150)


def nothing_to_do(pool: Pool) -> None:
    if pool.at_s % 5 == 0:
        for name in pool.names:
            pool.ask(name, 4)


def overload(pool: Pool) -> None:
    pool.others_work(tasks=100)
    pool.held, pool.waiting = 12, pool.waiting + 1000


def handlers_that_block(pool: Pool) -> None:
    """For minutes; each says that it is at work."""
    pool.held, pool.waiting = 4 * len(pool.names), 500
    for place, name in enumerate(pool.names * 4):
        pool.answer(name, place + 1, b"+WPI")


def handlers_that_fail(pool: Pool) -> None:
    """Every attempt fails at once, everywhere, and the pool is full of what was put off."""
    pool.held, pool.waiting = 24, 500
    for name in pool.names:
        for attempt in range(1, 6):
            pool.ask(name)
            pause_s = pool.chance.uniform(0, min(10.0, 0.5 * 2.0**attempt))
            nak = b'-NAK {"delay": %d}' % int(pause_s * 1e9)
            pool.answer(name, pool.deliver(), nak, place=int(pool.at_s) * 10 + attempt)
            pool.send(name, 4, 1000)


def registers_that_are_refused(pool: Pool) -> None:
    """The same task is put off without end, each time for an honest pause."""
    pool.held, pool.waiting = 24, 500
    for name in pool.names:
        for place in range(4):
            pool.ask(name)
            nak = b'-NAK {"delay": %d}' % int(pool.chance.uniform(0, 10.0) * 1e9)
            pool.answer(name, pool.deliver(), nak, place=place)


def one_fails_and_the_others_do_not(pool: Pool) -> None:
    pool.others_work(BAD)
    pool.held = 24
    for place in range(20):
        pool.ask(BAD)
        nak = b'-NAK {"delay": %d}' % int(pool.chance.uniform(0, 1.0) * 1e9)
        pool.answer(BAD, pool.deliver(), nak, place=int(pool.at_s) * 100 + place)
        pool.send(BAD, 4, 1000)


def one_is_paused(pool: Pool) -> None:
    """What it asked for before still goes to it, once."""
    pool.others_work(BAD)
    pool.held = 16 if 5 <= pool.at_s <= 11 else 4
    if pool.at_s == 5:
        for _ in range(4):
            pool.deliver()


def one_is_killed_again_and_again(pool: Pool) -> None:
    """Each start asks for all its slots, and dies with what it got."""
    pool.others_work(BAD, tasks=3)
    pool.held = 24
    pool.starts[BAD] = pool.starts.get(BAD, 1) + 1
    pool.conduct.connected(BAD)
    pool.ask(BAD, 4)
    for _ in range(4):
        pool.answer(BAD, pool.deliver(), b"+WPI")


def one_is_cut_off_again_and_again(pool: Pool) -> None:
    pool.others_work(BAD, tasks=3)
    pool.held = 24
    for _ in range(2):
        pool.conduct.connected(BAD)
        pool.ask(BAD, 4)
        for _ in range(4):
            pool.deliver()


def nobody_can_count_attempts(pool: Pool) -> None:
    """Nobody answers a repeat, because its mark cannot be read: it has another cause than any one of them."""
    pool.held, pool.waiting = 24, 500
    for name in pool.names:
        pool.ask(name, 4)
        for _ in range(4):
            pool.deliver()


def many_signs_of_life(pool: Pool) -> None:
    for name in pool.names:
        pool.send(name, 250)


@pytest.mark.parametrize("names", [("agent-2",), ("agent-1", "agent-2"), ("agent-1", "agent-2", "agent-3")])
@pytest.mark.parametrize(
    "second",
    [
        all_is_well,
        nothing_to_do,
        overload,
        handlers_that_block,
        handlers_that_fail,
        registers_that_are_refused,
        one_fails_and_the_others_do_not,
        one_is_paused,
        one_is_killed_again_and_again,
        one_is_cut_off_again_and_again,
        nobody_can_count_attempts,
        many_signs_of_life,
    ],
)
def test_no_honest_agent_is_suspected(second: Callable[[Pool], None], names: tuple[str, ...]) -> None:
    pool = Pool(names=names)
    for _ in range(150):
        second(pool)
        assert pool.look() is None
        assert not pool.conduct.stuck


def test_a_pool_of_one_is_left_alone_whatever_its_counters_say() -> None:
    for attack in (answers_nothing, floods, fills):
        pool = Pool(names=(BAD,))
        assert pool.last(lambda pool=pool, attack=attack: attack(pool)) is None


def test_counters_that_begin_anew_say_nothing_of_anybody() -> None:
    """A broker that restarts, or a pool that is made anew: all figures fall, or jump."""
    pool = Pool()

    def restart() -> None:
        pool.others_work(tasks=100)
        if pool.at_s % 3 == 0:
            pool.server = f"at {pool.at_s}"
            pool.delivered = 0
            for name in pool.names:
                pool.sent[name] = pool.chance.randrange(10**6)

    assert pool.last(restart, 100) is None


def test_pulls_and_answers_are_listened_to_only_while_there_is_trouble() -> None:
    pool = Pool()
    pool.last(pool.others_work, 10)
    assert not pool.conduct.listening

    def full() -> None:
        pool.others_work()
        pool.held = 20

    pool.last(full, 2)
    assert pool.conduct.listening

    def calm() -> None:
        pool.others_work()
        pool.held = 12

    pool.last(calm, 10)
    assert not pool.conduct.listening


def test_what_was_heard_is_forgotten_after_a_while() -> None:
    """However long a trouble lasts, what is kept of it has a bound."""
    pool = Pool()

    def full() -> None:
        pool.others_work(tasks=5)
        pool.held = 20

    most = 0
    for _ in range(10):
        pool.last(full, 30)
        most = max(most, sum(len(heard.answered) for heard in pool.conduct._heard.values()))
    assert most <= 15 * (LISTEN_S + 2)


def test_a_pool_that_was_put_off_before_anybody_listened_is_stuck() -> None:
    pool = Pool()
    pool.last(pool.others_work, 5)
    pool.delivered += 24
    pool.held, pool.waiting = 24, 500
    seen = []
    for _ in range(60):
        assert pool.look() is None
        seen.append(pool.conduct.stuck)
    longest_honest_s = int(BOUNDS.ack_wait_s + BOUNDS.retry_cap_s)
    assert not any(seen[:longest_honest_s])
    assert any(seen)


def test_one_look_is_not_enough() -> None:
    pool = Pool()
    pool.last(pool.others_work, 5)
    holds_all_while_nobody_else_gets_anything(pool)
    assert pool.look() is None  # the trouble is seen, and listened to
    holds_all_while_nobody_else_gets_anything(pool)
    assert pool.look() is None
    holds_all_while_nobody_else_gets_anything(pool)
    assert pool.look() is not None


def test_an_agent_that_is_out_is_not_suspected_again() -> None:
    pool = Pool()
    assert pool.last(lambda: holds(pool)) is not None
    pool.names = ("agent-1", "agent-3")
    pool.conduct.forget()
    assert pool.last(lambda: holds(pool), 20) is None


def test_what_is_kept_of_a_trouble_without_end_is_bounded() -> None:
    pool = Pool(waiting=1)
    kept_s = max(LISTEN_S, 4 * BOUNDS.ack_wait_s, 2 * pool.conduct._accounted_s)
    for _ in range(int(10 * kept_s)):
        assert pool.look() is None
        assert pool.conduct.listening or pool.at_s < 2
        assert len(pool.conduct._deliveries) <= kept_s + 2
