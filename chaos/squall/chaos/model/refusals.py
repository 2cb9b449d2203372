"""What the broker says no with: status, error code and words, as nats-server 2.15 has them."""

from __future__ import annotations

from typing import Any, NamedTuple


class Refusal(NamedTuple):
    """An answer that says no.

    Attributes:
        code: The status, as in HTTP.
        err_code: JetStream's own.
    """

    code: int
    err_code: int
    description: str

    def error(self) -> dict[str, Any]:
        """As it stands in an answer."""
        return self._asdict()


# Publishing.

WRONG_LAST_IN_BATCH = Refusal(400, 10164, "wrong last sequence")
WRONG_STREAM = Refusal(400, 10060, "expected stream does not match")
SEQUENCE_MISSING = Refusal(400, 10193, "missing sequence for expected last sequence per subject")
SOURCE_HEADER = Refusal(400, 10227, "message stream source header is not allowed")
TOO_LARGE = Refusal(400, 10054, "message size exceeds maximum allowed")
MESSAGES_FULL = Refusal(503, 10077, "maximum messages exceeded")
BYTES_FULL = Refusal(503, 10077, "maximum bytes exceeded")
SUBJECT_FULL = Refusal(503, 10077, "maximum messages per subject exceeded")


def wrong_last(sequence: int) -> Refusal:
    return Refusal(400, 10071, f"wrong last sequence: {sequence}")


# Batches.

BATCH_DISABLED = Refusal(400, 10174, "atomic publish is disabled")
BATCH_UNNUMBERED = Refusal(400, 10175, "atomic publish sequence is missing")
BATCH_INCOMPLETE = Refusal(400, 10176, "atomic publish batch is incomplete")
BATCH_NAME = Refusal(400, 10179, "atomic publish batch ID is invalid")
BATCH_TOO_LARGE = Refusal(400, 10199, "atomic publish batch is too large: 1000")
BATCH_COMMIT = Refusal(400, 10200, "atomic publish batch commit is invalid")
BATCH_DUPLICATE = Refusal(400, 10201, "atomic publish batch contains duplicate message id")
BATCHES_IN_FLIGHT = Refusal(429, 10210, "atomic publish too many inflight")

# Streams.

BAD_REQUEST = Refusal(400, 10003, "bad request")
STREAM_MISMATCH = Refusal(400, 10056, "stream name in subject does not match request")
STREAM_NOT_FOUND = Refusal(404, 10059, "stream not found")
STREAM_EXISTS = Refusal(400, 10058, "stream name already in use with a different configuration")
SUBJECTS_OVERLAP = Refusal(400, 10065, "subjects overlap with an existing stream")
SOURCE_TOO_LARGE = Refusal(400, 10046, "stream source must have max message size >= target")
NO_MESSAGE = Refusal(404, 10037, "no message found")
PURGE_DENIED = Refusal(500, 10110, "stream purge not permitted")


def invalid_stream(reason: str) -> Refusal:
    return Refusal(500, 10052, reason)


# Consumers.

CONSUMER_NOT_FOUND = Refusal(404, 10014, "consumer not found")
CONSUMER_EXISTS = Refusal(400, 10148, "consumer already exists")
CONSUMER_MISSING = Refusal(400, 10149, "consumer does not exist")
CONSUMER_NAME_MISMATCH = Refusal(
    400, 10017, "consumer name in subject does not match durable name in request"
)
FILTER_MISMATCH = Refusal(
    400, 10131, "Consumer create request did not match filtered subject from create subject"
)
FILTERS_BY_SUBJECT = Refusal(
    400, 10137, "consumer with multiple subject filters cannot use subject based API"
)
FILTERS_TWICE = Refusal(400, 10136, "consumer cannot have both FilterSubject and FilterSubjects specified")
FILTERS_OVERLAP = Refusal(400, 10138, "consumer subject filters cannot overlap")
FILTER_EMPTY = Refusal(400, 10139, "consumer filter in FilterSubjects cannot be empty")
REPLICAS = Refusal(400, 10126, "consumer config replica count exceeds parent stream")
PULL_NEEDS_ACK = Refusal(400, 10084, "consumer in pull mode requires explicit ack policy on workqueue stream")
QUEUE_NEEDS_ALL = Refusal(400, 10101, "consumer must be deliver all on workqueue stream")
QUEUE_UNFILTERED = Refusal(400, 10099, "multiple non-filtered consumers not allowed on workqueue stream")
QUEUE_OVERLAP = Refusal(400, 10100, "filtered consumer not unique on workqueue stream")


def invalid_policy(reason: str) -> Refusal:
    return Refusal(400, 10094, reason)


def not_created(reason: str) -> Refusal:
    return Refusal(500, 10012, reason)
