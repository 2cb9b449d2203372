"""The messages of equal peers: epochs of their roster, records of their log, what they tell each other.

As in `messages.py`, every field is bounded. Whose word a record is, and which task and attempt it is about,
its subject says and not its content; see `vote_subjects.py`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from squall.bus.border import check_name
from squall.bus.messages import EFFECTS_MAX, Count, Message, Sentence, Short

MEMBERS_MAX = 256
"""Members that a roster may have."""

GOSSIP_MAX = 16
"""Rumours that one message may carry."""

SIGNATURE_BYTES = 64
"""Of an Ed25519 signature."""

Name = Annotated[str, Meta(min_length=1, max_length=40)]
PublicKey = Annotated[str, Meta(min_length=56, max_length=56, pattern="^U[A-Z2-7]{55}$")]
"""A user's public key, as nkeys writes it."""

Rule = Literal["majority", "two-thirds", "all", "weighted"]
Verdict = Literal["yes", "no", "abstain"]
Decided = Literal["approve", "reject", "abort"]
Condition = Literal["alive", "suspect", "left"]
Share = Annotated[float, Meta(ge=0.0, le=1.0)]


# The roster.


class Member(Struct, frozen=True, kw_only=True):
    """One who votes.

    Attributes:
        name: The peer.
        key: Verifies what it signs.
        weight: What its vote counts where votes are weighted.
    """

    name: Name
    key: PublicKey
    weight: Annotated[int, Meta(ge=1, le=1_000_000)] = 1

    def __post_init__(self) -> None:
        check_name(self.name, "member's name")


class EpochRecord(Message, frozen=True, kw_only=True, tag="epoch"):
    """Who votes from here on, until the next one.

    Attributes:
        epoch: Its number, from 1; each is one more than the one before.
        members: In the order of their names, which differ.
        rule: How many of them it takes.
        write: Which write this was, so that its writer knows it again.
    """

    epoch: Annotated[int, Meta(ge=1, le=2**53)]
    members: Annotated[tuple[Member, ...], Meta(min_length=1, max_length=MEMBERS_MAX)]
    rule: Rule = "majority"
    write: Short = ""

    def __post_init__(self) -> None:
        names = [member.name for member in self.members]
        if names != sorted(set(names)):
            raise ValueError("members are not in the order of their names, or one is there twice")

    def member(self, name: str) -> Member | None:
        """The member of this name; None if there is none."""
        return next((member for member in self.members if member.name == name), None)


# The log.


class Propose(Message, frozen=True, kw_only=True, tag="propose"):
    """What a peer would do about a task.

    Attributes:
        epoch: The newest epoch that its proposer knows of; the one in force at its place is what counts.
        effects: As in a register, see `messages.TaskResult`.
        value: What the handler returned beside them.
        reason: Why, in one sentence.
        confidence: From 0 to 1.
        deadline_ms: How long after it is stored it may be closed without a decision.
        dead: That the task is to end without a result, for the reason that is given.
    """

    epoch: Count
    effects: Annotated[tuple[bytes, ...], Meta(max_length=EFFECTS_MAX)] = ()
    value: bytes = b""
    reason: Sentence = ""
    confidence: Share = 1.0
    deadline_ms: Annotated[int, Meta(ge=1, le=3_600_000)] = 2000
    dead: bool = False


class Vote(Message, frozen=True, kw_only=True, tag="vote"):
    """What a member thinks of a proposal.

    Attributes:
        epoch: Of the proposal.
        proposal: The sequence of the proposal in the log.
        verdict: An abstention counts for nothing, and cannot be taken back either.
        reason: Why, in one sentence.
        confidence: From 0 to 1.
        signature: By the member's key, over what `roster.statement` makes of it.
    """

    epoch: Count
    proposal: Count
    verdict: Verdict
    reason: Sentence = ""
    confidence: Share = 1.0
    signature: Annotated[bytes, Meta(max_length=SIGNATURE_BYTES)] = b""


class Trim(Message, frozen=True, kw_only=True, tag="trim"):
    """What is over is removed from the log.

    Attributes:
        below: All tasks that stand before this place are over.
    """

    below: Count


class Close(Message, frozen=True, kw_only=True, tag="close"):
    """The time of a proposal is over.

    Attributes:
        proposal: The sequence of the proposal in the log.
        why: In one sentence.
    """

    proposal: Count
    why: Sentence = ""


class Decide(Message, frozen=True, kw_only=True, tag="decide"):
    """What a peer saw decided of a proposal.

    Attributes:
        outcome: See the rules of voting.
        epoch: Of the proposal.
        proposal: The sequence of the proposal in the log.
        at: The sequence of the record by which it was decided.
    """

    outcome: Decided
    epoch: Count
    proposal: Count
    at: Count


# Links: one verb a message.


class Rumour(Struct, frozen=True, kw_only=True):
    """What is said of a peer.

    Attributes:
        node: Of whom.
        condition: How it is said to be.
        incarnation: Of which of its incarnations; only the peer itself begins another.
        by: Who found that it does not answer; of other conditions the peer itself.
    """

    node: Name
    condition: Condition
    incarnation: Count
    by: Name


Gossip = Annotated[tuple[Rumour, ...], Meta(max_length=GOSSIP_MAX)]


class Ping(Message, frozen=True, kw_only=True, tag="ping"):
    """``link.<from>.<to>.ping``: is there anybody?

    Attributes:
        number: Comes back in the answer.
        incarnation: Of the sender.
    """

    number: Count
    incarnation: Count
    gossip: Gossip = ()


class Ack(Message, frozen=True, kw_only=True, tag="ack"):
    """``link.<from>.<to>.ack``: the answer to a `Ping`, or to a `PingRequest`, whatever its target did.

    Attributes:
        number: Of what it answers.
        node: Who is meant: the sender, or the target of the request.
        incarnation: Of the sender.
        heard: Whether the target answered; a sender that did ask and heard nothing says so, so that whoever
            asked knows that its own link works.
    """

    number: Count
    node: Name
    incarnation: Count
    heard: bool = True
    gossip: Gossip = ()


class PingRequest(Message, frozen=True, kw_only=True, tag="ping-request"):
    """``link.<from>.<to>.probe``: ask a third peer for me, which did not answer me.

    Attributes:
        number: Comes back in the answer.
        target: Whom to ask.
        incarnation: Of the sender.
    """

    number: Count
    target: Name
    incarnation: Count
    gossip: Gossip = ()


# Commands to whoever writes the roster, answered on ``rep.<node>.<token>``.


class FoundRoster(Message, frozen=True, kw_only=True, tag="found-roster"):
    """``cmd.<node>.found``: write the first epoch, if there is none."""

    members: Annotated[tuple[Member, ...], Meta(min_length=1, max_length=MEMBERS_MAX)]
    rule: Rule
    token: Name


class JoinRoster(Message, frozen=True, kw_only=True, tag="join-roster"):
    """``cmd.<node>.join``: write an epoch with one member more, unless the newest has it."""

    member: Member
    token: Name


class LeaveRoster(Message, frozen=True, kw_only=True, tag="leave-roster"):
    """``cmd.<node>.leave``: write an epoch with one member less, unless the newest is without it."""

    name: Name
    token: Name


class RosterWritten(Message, frozen=True, kw_only=True, tag="roster-written"):
    """The answer: which epoch is in force.

    Attributes:
        epoch: Its number; 0 where there is none.
        sequence: Its place in the log.
        refused: Why it is not what was asked for, in one sentence, or empty.
    """

    epoch: Count
    sequence: Count = 0
    refused: Sentence = ""
