"""Configurations of streams and consumers: read, completed and checked as the server does it.

A field that is not here, or has a value that is not modelled, is `Unmodelled`.
"""

from __future__ import annotations

from typing import Any, Literal, TypeVar

import msgspec

from squall.chaos.model import refusals
from squall.chaos.model.errors import Unmodelled
from squall.chaos.model.refusals import Refusal
from squall.chaos.model.subjects import collide, covers

T = TypeVar("T")

MS = 1_000_000
"""Nanoseconds of a millisecond; all lengths of time in configurations are nanoseconds."""

DUPLICATES_NS = 120_000 * MS
ACK_WAIT_NS = 30_000 * MS
PENDING_MAX = 1000
WAITING_MAX = 512
INACTIVE_NS = 5_000 * MS


def decode(data: bytes, kind: type[T]) -> T:
    """Read a request.

    Raises:
        Unmodelled: It has something that the model does not know.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.DecodeError as error:
        raise Unmodelled(f"a request of {kind.__name__}: {error}: {data[:200]!r}") from error


class Transform(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which subjects of a source, and what they become."""

    src: str
    dest: str = ""


class SourceConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Another stream that is copied from."""

    name: str
    filter_subject: str = ""
    subject_transforms: tuple[Transform, ...] = ()


class RepublishConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What of a stream is said again as it is stored, and on which subjects."""

    src: str
    dest: str


class StreamConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A stream's configuration. Limits of -1 are none."""

    name: str
    description: str = ""
    subjects: tuple[str, ...] = ()
    retention: Literal["limits", "workqueue"] = "limits"
    max_consumers: Literal[-1] = -1
    max_msgs: int = -1
    max_bytes: int = -1
    max_age: int = 0
    max_msgs_per_subject: int = -1
    max_msg_size: int = -1
    discard: Literal["old", "new"] = "old"
    storage: Literal["file", "memory"] = "file"
    num_replicas: Literal[1] = 1
    duplicate_window: int = 0
    sources: tuple[SourceConfig, ...] = ()
    allow_direct: bool = False
    discard_new_per_subject: bool = False
    deny_delete: bool = False
    deny_purge: bool = False
    allow_atomic: bool = False
    no_ack: bool = False
    republish: RepublishConfig | None = None

    def completed(self) -> StreamConfig | Refusal:
        """With the server's defaults, or what is wrong with it."""
        window = self.duplicate_window
        if not window and not self.sources:
            window = min(DUPLICATES_NS, self.max_age or DUPLICATES_NS)
        if 0 < self.max_age < 100 * MS:
            return refusals.invalid_stream("max age needs to be >= 100ms")
        if self.max_age and window > self.max_age:
            return refusals.invalid_stream("duplicates window can not be larger then max age")
        if 0 < window < 100 * MS:
            return refusals.invalid_stream("duplicates window needs to be >= 100ms")
        if self.discard_new_per_subject:
            if self.discard != "new":
                return refusals.invalid_stream(
                    "discard new per subject requires discard new policy to be set"
                )
            if self.max_msgs_per_subject <= 0:
                return refusals.invalid_stream("discard new per subject requires max msgs per subject > 0")
        subjects = self.subjects if self.subjects or self.sources else (self.name,)
        for place, subject in enumerate(subjects):
            for other in subjects[place + 1 :]:
                if other == subject:
                    return refusals.invalid_stream("duplicate subjects detected")
                if collide(subject, other):
                    return refusals.invalid_stream(f'subject "{subject}" overlaps with "{other}"')
        if self.republish is not None and any(collide(self.republish.dest, each) for each in subjects):
            return refusals.invalid_stream("stream configuration for republish destination forms a cycle")
        return msgspec.structs.replace(
            self,
            subjects=subjects,
            duplicate_window=window,
            max_msgs=self.max_msgs if self.max_msgs > 0 else -1,
            max_bytes=self.max_bytes if self.max_bytes > 0 else -1,
            max_msgs_per_subject=self.max_msgs_per_subject if self.max_msgs_per_subject > 0 else -1,
            max_msg_size=self.max_msg_size if self.max_msg_size > 0 else -1,
        )

    def told(self) -> dict[str, Any]:
        """As the server tells it, without what it adds of its own version."""
        optional = (
            "description",
            "subjects",
            "sources",
            "duplicate_window",
            "allow_atomic",
            "no_ack",
            "republish",
        )
        told = msgspec.to_builtins(self)
        for name in (*optional, "discard_new_per_subject"):
            if not told[name]:
                del told[name]
        return {
            **told,
            "compression": "none",
            "mirror_direct": False,
            "sealed": False,
            "allow_rollup_hdrs": False,
            "consumer_limits": {},
            "allow_msg_ttl": False,
        }


class ConsumerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A pull consumer's configuration. Limits of 0 are none."""

    name: str = ""
    durable_name: str = ""
    description: str = ""
    deliver_policy: Literal["all", "new", "by_start_sequence"] = "all"
    opt_start_seq: int = 0
    ack_policy: Literal["none", "explicit"] = "none"
    ack_wait: int = 0
    max_deliver: Literal[-1, 0] = -1
    filter_subject: str = ""
    filter_subjects: tuple[str, ...] = ()
    replay_policy: Literal["instant"] = "instant"
    max_waiting: int = 0
    max_ack_pending: int = 0
    max_batch: int = 0
    max_expires: int = 0
    inactive_threshold: int = 0
    num_replicas: Literal[0, 1] = 0
    mem_storage: bool = False
    metadata: dict[str, str] = {}
    pause_until: str = ""

    @property
    def filters(self) -> tuple[str, ...]:
        return (self.filter_subject,) if self.filter_subject else self.filter_subjects

    @property
    def is_explicit(self) -> bool:
        return self.ack_policy == "explicit"

    def completed(self) -> ConsumerConfig:
        """With the server's defaults."""
        explicit = self.is_explicit
        return msgspec.structs.replace(
            self,
            max_deliver=-1,
            ack_wait=self.ack_wait or (ACK_WAIT_NS if explicit else 0),
            max_waiting=self.max_waiting or WAITING_MAX,
            max_ack_pending=self.max_ack_pending or (PENDING_MAX if explicit else 0),
            inactive_threshold=self.inactive_threshold or (0 if self.durable_name else INACTIVE_NS),
        )

    def fault(self, stream: StreamConfig) -> Refusal | None:
        """What is wrong with it, whatever other consumers there are."""
        queue = stream.retention == "workqueue"
        if queue and not self.is_explicit:
            return refusals.PULL_NEEDS_ACK
        if self.filter_subject and self.filter_subjects:
            return refusals.FILTERS_TWICE
        if "" in self.filter_subjects:
            return refusals.FILTER_EMPTY
        for one in self.filters:
            if any(other != one and covers(other, one) for other in self.filters):
                return refusals.FILTERS_OVERLAP
        if len({*self.filters}) < len(self.filters):
            return refusals.FILTERS_OVERLAP
        policy = {"all": "all", "new": "new"}.get(self.deliver_policy)
        if policy is not None and self.opt_start_seq:
            reason = f"consumer delivery policy is deliver {policy}, but optional start sequence is also set"
            return refusals.invalid_policy(reason)
        if policy is None and not self.opt_start_seq:
            wanted = "consumer delivery policy is deliver by start sequence"
            return refusals.invalid_policy(f"{wanted}, but optional start sequence is not set")
        return refusals.QUEUE_NEEDS_ALL if queue and self.deliver_policy != "all" else None

    def told(self) -> dict[str, Any]:
        """As the server tells it, without what it adds of its own version."""
        always = ("deliver_policy", "ack_policy", "replay_policy", "num_replicas")
        return {k: v for k, v in msgspec.to_builtins(self).items() if v or k in always}


CHANGEABLE = ("filter_subject", "filter_subjects", "max_ack_pending", "metadata")
"""What of a consumer can be changed, as far as it is modelled."""

UNCHANGEABLE = {
    "deliver_policy": "deliver policy can not be updated",
    "mem_storage": "storage type can not be updated",
    "opt_start_seq": "start sequence can not be updated",
    "ack_policy": "ack policy can not be updated",
    "max_waiting": "max waiting can not be updated",
}
"""What a consumer keeps for its life, in the order in which the server looks."""
