"""Who of the agents that share a pool keeps the others from working.

    broker's counters ──every second──► trouble? ──► listen to who pulls and who answers ──► suspicion?
                                                     (the broker names the account of each)

Nothing here rests on what an agent says of itself. Counters are the broker's own, and on every message that
leaves an account the broker writes which account it came from; what a sender put there is overwritten.

An honest agent is never suspected, at the price of being slow to suspect a bad one. So there are two kinds of
rules:

* what an agent of ours never does, however ill it fares: hold more than twice its slots, put off the same
  task over and over without a pause, put one off for longer than any pause, answer with an unknown word;
* a multiple of what the agent's work explains, which most of the others do not show: what befalls all of them
  alike has another cause.

What an honest agent does show, and what no rule takes for guilt: deliveries that nobody answers, because it
was killed, paused or cut off (no more than its slots for each start and each connection); a queue that does
not move, because its handlers take long; and a pool full of tasks put off, because its handlers fail.
"""

from __future__ import annotations

import itertools
import re
import statistics
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

EXPLAINED_PER_DELIVERY = 16
"""Messages that one delivery explains: pull, marks, register, ack, and repeats; six are usual at most."""

FLOOD_PER_S = 500.0
"""Messages a second that need no explanation: pulls, heartbeats, signs of life."""

FLOOD_BYTES_PER_S = 4 * 1024**2
DELIVERY_BYTES = 1024**2
"""Bytes a second that need no explanation, and what one delivery explains: the largest message there is."""

FLOOD_LOOKS = 2
PROOF_LOOKS = 2
"""Looks in a row that must say the same: for a flood of counters, and before anybody is put out."""

STANDS_OUT = 3.0
"""How many times what the others show one must show to be the cause."""

REGISTERS_AHEAD = 200
"""Registers beyond the tasks that were ever queued; the two are not counted at the same moment."""

CALM_LOOKS = 5
LISTEN_S = 60.0
"""Listening ends after so many looks without trouble, and what was heard is forgotten after so long."""

GAP_S = 5.0
"""With so long between two looks the broker was away, or stood still, and signs of life with it."""

_PUT_OFF = re.compile(rb'-NAK(?: \{"delay": (\d{1,19})\})?')


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the pool allows.

    Attributes:
        slots: Deliveries that an agent works on at a time.
        attempts: Attempts a task gets.
        ack_wait_s: Silence after which a delivery is repeated.
        retry_base_s, retry_cap_s: A failed task is put off for up to base × 2^attempt, at most the cap.
        expires_s: How long a pull stays open.
    """

    slots: int
    attempts: int
    ack_wait_s: float
    retry_base_s: float
    retry_cap_s: float
    expires_s: float


@dataclass(frozen=True, slots=True)
class Share:
    """One agent by the broker's counters, since the broker started, and by the launcher's.

    Attributes:
        sent, sent_bytes: Messages and bytes that its account sent.
        starts: How often its process was started.
    """

    sent: int = 0
    sent_bytes: int = 0
    starts: int = 1


@dataclass(frozen=True, slots=True)
class Look:
    """The pool at one moment.

    Attributes:
        at_s: When, by a clock that only goes forward.
        server: Which start of the broker and which making of the pool this is; both begin to count anew.
        delivered: Deliveries the pool has made, repeats included; the number of the newest.
        held: Deliveries that nobody has finished yet, those put off included.
        waiting: Tasks that were never delivered.
        queued: Tasks that were ever queued.
        finished: Tasks that have left the queue.
        registers: Registers that were ever written.
        agents: The agents that are in the swarm.
    """

    at_s: float
    server: str
    delivered: int
    held: int
    waiting: int
    queued: int
    finished: int
    registers: int
    agents: Mapping[str, Share]


@dataclass(frozen=True, slots=True)
class Suspicion:
    """An agent to put out, and why, in words that end a sentence about it."""

    agent: str
    reason: str


@dataclass(slots=True)
class _Heard:
    """What one agent did while it was listened to."""

    asked: int = 0
    answered: set[int] = field(default_factory=set)  # numbers of deliveries
    held: dict[int, float] = field(default_factory=dict)  # place in the queue → last sign of life, at_s
    put_off: Counter[int] = field(default_factory=Counter)  # place in the queue → times
    put_off_s: Counter[int] = field(default_factory=Counter)  # place in the queue → nanoseconds in all
    connections: int = 0
    proof: str = ""


class Conduct:
    """Watches one pool. Told of everything in the order in which it happens; asks for nothing.

    Attributes:
        listening: Whether pulls and answers are wanted: while there is trouble only, since hearing costs.
        stuck: Whether the pool is full of deliveries that nobody who is heard has: they were put off for long
            before anybody listened. Made anew it has them back, and who does it again is heard.
    """

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self.listening = False
        self.stuck = False
        # Three signs of life an ack wait for each delivery it holds, four times over.
        self._signs_per_s = FLOOD_PER_S + 12 * bounds.slots / bounds.ack_wait_s
        self._looks: deque[Look] = deque(maxlen=FLOOD_LOOKS + 1)
        self._deliveries: deque[tuple[float, int]] = deque()  # while listening: at_s, newest delivery
        self._heard: dict[str, _Heard] = {}
        self._began: Look | None = None
        self._calm = 0
        self._stuck_looks = 0
        # After so long, whatever an honest agent has was signed for, put off, or delivered meanwhile.
        self._accounted_s = bounds.ack_wait_s + 2 * bounds.retry_cap_s + 1.0
        self._before: tuple[str, int] = ("", 0)  # the last suspect, and looks in a row

    # What is heard.

    def _of(self, agent: str) -> _Heard:
        return self._heard.setdefault(agent, _Heard())

    def pulled(self, agent: str, batch: int) -> None:
        """An agent asked for so many deliveries."""
        self._of(agent).asked += max(1, batch)

    def connected(self, agent: str) -> None:
        """An agent opened a connection."""
        self._of(agent).connections += 1

    def answered(self, agent: str, delivery: int, place: int, answer: bytes, at_s: float) -> None:
        """An agent answered a delivery.

        Args:
            delivery: The delivery's number.
            place: The task's place in the queue.
        """
        heard = self._of(agent)
        heard.answered.add(delivery)
        if answer == b"+WPI":
            heard.held[place] = at_s
            return
        for other in self._heard.values():
            other.held.pop(place, None)
        if answer == b"+ACK":
            return
        put_off = _PUT_OFF.fullmatch(answer)
        if put_off is None:
            heard.proof = "it answers deliveries with a word that no agent uses"
            return
        pause_ns = int(put_off[1] or 0)
        heard.put_off[place] += 1
        heard.put_off_s[place] += pause_ns
        if pause_ns > 2e9 * self._bounds.retry_cap_s:
            heard.proof = "it puts tasks off for longer than any pause"

    def forget(self) -> None:
        """What was seen and heard is not whole, or will not be true any more: begin anew."""
        self._looks.clear()
        self._forget_heard()

    def _forget_heard(self) -> None:
        self._heard.clear()
        self._deliveries.clear()
        self._began = None

    # Judging.

    def look(self, look: Look) -> Suspicion | None:
        """Take a further look, and say who is to be put out; None is the rule."""
        before = self._looks[-1] if self._looks else look
        if before.server != look.server or look.at_s - before.at_s > GAP_S:
            self.forget()
        self._looks.append(look)
        self._listen(look)
        self._stuck_looks = self._stuck_looks + 1 if self._unaccounted(look) > self._bounds.slots else 0
        self.stuck = self._stuck_looks >= PROOF_LOOKS
        suspicion = self._flood() or (self._judge(look) if self.listening else None)
        agent, times = self._before
        times = times + 1 if suspicion is not None and suspicion.agent == agent else 1
        self._before = (suspicion.agent if suspicion else "", times)
        return suspicion if times >= PROOF_LOOKS else None

    def _listen(self, look: Look) -> None:
        """Begin to listen when there is trouble, end when there was none for a while."""
        self._calm = 0 if self._is_troubled() else self._calm + 1
        self.listening = self._calm < CALM_LOOKS and (self.listening or self._calm == 0)
        began = self._began
        forget_s = max(LISTEN_S, 4 * self._bounds.ack_wait_s, 2 * self._accounted_s)
        if not self.listening or (began is not None and look.at_s - began.at_s > forget_s):
            self._forget_heard()
        if self.listening:
            self._began = self._began or look
            self._deliveries.append((look.at_s, look.delivered))

    def _is_troubled(self) -> bool:
        if len(self._looks) < 2:
            return False
        before, now = self._looks[-2], self._looks[-1]
        slots = self._bounds.slots * len(now.agents)
        finished = now.finished - before.finished
        return (
            now.held > slots
            or now.delivered - before.delivered > 2 * finished + slots
            or (finished == 0 and now.waiting > 0)
            or now.registers > now.queued + REGISTERS_AHEAD
        )

    def _flood(self) -> Suspicion | None:
        """Who has sent more in each of the last looks than all deliveries of the pool explain."""
        looks = list(self._looks)
        if len(looks) <= FLOOD_LOOKS:
            return None
        found: set[str] | None = None
        for before, now in itertools.pairwise(looks):
            took_s = now.at_s - before.at_s
            deliveries = now.delivered - before.delivered
            messages = _growth(before, now, "sent")
            sizes = _growth(before, now, "sent_bytes")
            guilty = {
                agent
                for agent in messages
                if (
                    messages[agent] > self._signs_per_s * took_s + EXPLAINED_PER_DELIVERY * deliveries
                    and _stands_out(messages, agent)
                )
                or (
                    sizes[agent] > FLOOD_BYTES_PER_S * took_s + DELIVERY_BYTES * deliveries
                    and _stands_out(sizes, agent)
                )
            }
            found = guilty if found is None else found & guilty
        growth = _growth(looks[0], looks[-1], "sent_bytes")
        worst = max(found or (), key=growth.__getitem__, default=None)
        return Suspicion(worst, "it sends far more than its work explains") if worst else None

    def _judge(self, look: Look) -> Suspicion | None:
        for agent in sorted(look.agents):
            reason = self._proof(agent, look)
            if reason:
                return Suspicion(agent, reason)
        return self._silent(look) or self._inventing(look)

    def _proof(self, agent: str, look: Look) -> str:
        """What no agent of ours ever does; empty if it does none of it."""
        heard, bounds = self._of(agent), self._bounds
        if heard.proof:
            return heard.proof
        holds = self._holds(heard, look)
        if holds > 2 * bounds.slots * (1 + self._starts(agent, look)):
            return f"it holds {holds} deliveries and has {bounds.slots} slots"
        # Honest pauses are at least four times as long in the mean, and many draws come near their mean.
        pause_s = min(bounds.retry_base_s, bounds.retry_cap_s / 2) / 4
        for place, times in heard.put_off.items():
            if times > 4 * bounds.attempts + 10 and heard.put_off_s[place] < times * pause_s * 1e9:
                return "it puts the same task off over and over"
        return ""

    def _unaccounted(self, look: Look) -> int:
        """Deliveries that are held, and not by anybody who was heard."""
        if self._began is None or look.at_s - self._began.at_s < self._accounted_s:
            return 0
        recent = look.delivered - self._past(look)[-1]
        signed = sum(self._holds(heard, look) for heard in self._heard.values())
        put_off = sum(heard.put_off.total() for heard in self._heard.values())
        return look.held - recent - signed - put_off

    def _past(self, look: Look) -> list[int]:
        """The newest deliveries as of each look that is longer ago than an ack wait."""
        due_s = self._bounds.ack_wait_s + 1.0
        return [number for at_s, number in self._deliveries if look.at_s - at_s > due_s]

    def _holds(self, heard: _Heard, look: Look) -> int:
        return sum(look.at_s - at_s <= self._bounds.ack_wait_s for at_s in heard.held.values())

    def _starts(self, agent: str, look: Look) -> int:
        """Starts of its process since listening began."""
        before = self._began.agents.get(agent) if self._began else None
        return max(0, look.agents[agent].starts - before.starts) if before else 0

    def _silent(self, look: Look) -> Suspicion | None:
        """Who asks for work and does not answer, where many deliveries go without any answer."""
        began, bounds = self._began, self._bounds
        if began is None or len(look.agents) < 2:
            return None
        listened_s = look.at_s - began.at_s
        past = self._past(look)
        if not past or listened_s < bounds.ack_wait_s + 5.0:
            return None
        made, due = range(began.delivered + 1, look.delivered + 1), range(began.delivered + 1, past[-1] + 1)
        answered = {number for heard in self._heard.values() for number in heard.answered if number in due}
        unanswered = len(due) - len(answered)
        excess: dict[str, float] = {}
        for agent in look.agents:
            heard = self._of(agent)
            # An answer to what was not delivered meanwhile is none: anybody can make up its number.
            answers = sum(number in made for number in heard.answered)
            turns = 2 + 1.25 * listened_s / bounds.expires_s + self._starts(agent, look) + heard.connections
            excess[agent] = max(0.0, heard.asked - answers - bounds.slots * turns)
        worst = max(sorted(excess), key=excess.__getitem__)
        if (
            unanswered > 4 * bounds.slots
            and excess[worst] > 0
            and 2 * excess[worst] >= min(unanswered, 4 * bounds.slots)
            and _stands_out(excess, worst)
        ):
            return Suspicion(worst, "it asks for work and does not answer")
        return None

    def _inventing(self, look: Look) -> Suspicion | None:
        """Who writes registers of tasks that were never queued: who then sends far more than the others."""
        before = self._looks[0]
        invented = look.registers - before.registers - (look.delivered - before.delivered)
        if look.registers <= look.queued + REGISTERS_AHEAD or invented <= 0 or len(look.agents) < 2:
            return None
        for what in ("sent_bytes", "sent"):
            growth = _growth(before, look, what)
            worst = max(sorted(growth), key=growth.__getitem__)
            if growth[worst] >= invented and _stands_out(growth, worst):
                return Suspicion(worst, "it writes registers of tasks that there are not")
        return None


def _growth(before: Look, now: Look, what: str) -> dict[str, int]:
    """How much a counter of each agent has grown."""
    return {
        agent: getattr(share, what) - getattr(before.agents.get(agent, share), what)
        for agent, share in now.agents.items()
    }


def _stands_out(values: Mapping[str, float], agent: str) -> bool:
    """Whether an agent shows several times what the middle one of the others shows. One alone never does."""
    others: Iterable[float] = [value for name, value in values.items() if name != agent]
    return bool(others) and values[agent] > STANDS_OUT * statistics.median(others)
