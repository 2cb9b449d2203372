"""JetStream's administration: one function an endpoint, each from a request's body to an answer.

$JS.API.<endpoint>.<stream>[.<consumer>[.<filter>]]
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import msgspec

from squall.chaos.model import refusals, telling
from squall.chaos.model.configs import CHANGEABLE, UNCHANGEABLE, ConsumerConfig, StreamConfig, decode
from squall.chaos.model.consumers import Consumer
from squall.chaos.model.errors import Unmodelled
from squall.chaos.model.jetstream import JetStream
from squall.chaos.model.refusals import Refusal
from squall.chaos.model.stamps import NEVER, from_rfc3339
from squall.chaos.model.streams import Stream
from squall.chaos.model.subjects import collide

Answer = dict[str, Any] | Refusal


class _InfoRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    subjects_filter: str = ""


class _PurgeRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    seq: int = 0
    filter: str = ""
    keep: int = 0


class _GetRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    seq: int = 0
    last_by_subj: str = ""
    next_by_subj: str = ""


class _CreateRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    stream_name: str
    config: ConsumerConfig
    action: Literal["", "create", "update"] = ""


class _ListRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    offset: int = 0


LIST_MAX = 256
"""Consumers that are listed at a time."""


class _PauseRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pause_until: str = NEVER


_PAGED: dict[str, Any] = {"total": 0, "offset": 0, "limit": 0}
_BESIDE_ERROR: dict[str, dict[str, Any]] = {
    "stream_info": _PAGED,
    "stream_purge": {"purged": 0},
    "consumer_pause": {"paused": False},
    "consumer_list": {**_PAGED, "consumers": []},
}
"""What answers have though they are errors, by kind."""


class Api:
    """Answers what the administration is asked."""

    def __init__(self, jetstream: JetStream) -> None:
        self._jetstream = jetstream
        self._streams: dict[tuple[str, ...], tuple[str, Callable[[Stream, bytes], Answer]]] = {
            ("INFO",): ("stream_info", self._stream_info),
            ("DELETE",): ("stream_delete", self._stream_delete),
            ("PURGE",): ("stream_purge", self._stream_purge),
            ("MSG", "GET"): ("stream_msg_get", self._stream_get),
        }
        self._consumers: dict[str, tuple[str, Callable[[Consumer, bytes], Answer]]] = {
            "INFO": ("consumer_info", self._consumer_info),
            "DELETE": ("consumer_delete", self._consumer_delete),
            "PAUSE": ("consumer_pause", self._consumer_pause),
        }

    def answer(self, subject: str, data: bytes) -> bytes:
        """The answer to a request.

        Raises:
            Unmodelled: It is of an endpoint that is not modelled, or has something that is not.
        """
        kind, answer = self._dispatch(subject.split(".")[2:], subject, data)
        body: dict[str, Any] = {"type": f"io.nats.jetstream.api.v1.{kind}_response"}
        if isinstance(answer, Refusal):
            body |= {"error": answer.error(), **_BESIDE_ERROR.get(kind, {})}
        else:
            body |= answer
        return msgspec.json.encode(body)

    def _dispatch(self, tokens: list[str], subject: str, data: bytes) -> tuple[str, Answer]:
        match tokens:
            case ["INFO"]:
                return "account_info", self._account()
            case ["STREAM", "CREATE", name]:
                return "stream_create", self._stream_create(name, data)
            case ["CONSUMER", "CREATE", stream, name, *rest]:
                return "consumer_create", self._consumer_create(stream, name, ".".join(rest), data)
            case ["CONSUMER", "LIST", name]:
                return "consumer_list", self._consumer_list(name, data)
            case ["STREAM", *verb, name] if on_stream := self._streams.get(tuple(verb)):
                kind, ask = on_stream
                stream_found = self._jetstream.streams.get(name)
                return kind, ask(stream_found, data) if stream_found else refusals.STREAM_NOT_FOUND
            case ["CONSUMER", verb, stream, name] if on_consumer := self._consumers.get(verb):
                kind, act = on_consumer
                return kind, self._on_consumer(act, stream, name, data)
        raise Unmodelled(f"a request to {subject}")

    def _on_consumer(
        self, act: Callable[[Consumer, bytes], Answer], stream: str, name: str, data: bytes
    ) -> Answer:
        found = self._jetstream.streams.get(stream)
        if found is None:
            return refusals.STREAM_NOT_FOUND
        consumer = found.consumers.get(name)
        return act(consumer, data) if consumer else refusals.CONSUMER_NOT_FOUND

    def _account(self) -> dict[str, Any]:
        streams = self._jetstream.streams.values()
        return {
            "memory": sum(stream.bytes for stream in streams if stream.config.storage == "memory"),
            "storage": sum(stream.bytes for stream in streams if stream.config.storage == "file"),
            "streams": len(streams),
            "consumers": sum(len(stream.consumers) for stream in streams),
        }

    # Streams.

    def _stream_create(self, name: str, data: bytes) -> Answer:
        wanted = decode(data, StreamConfig)
        if wanted.name != name:
            return refusals.STREAM_MISMATCH
        config = wanted.completed()
        if isinstance(config, Refusal):
            return config
        streams = self._jetstream.streams
        for source in config.sources:
            other = streams.get(source.name)
            if other and 0 < config.max_msg_size < other.config.max_msg_size:
                return refusals.SOURCE_TOO_LARGE
        existing = streams.get(name)
        if existing is not None and existing.config != config:
            return refusals.STREAM_EXISTS
        if existing is None:
            for other in streams.values():
                if any(collide(one, two) for one in config.subjects for two in other.config.subjects):
                    return refusals.SUBJECTS_OVERLAP
            existing = self._jetstream.add_stream(config)
        return {**telling.stream_info(existing, self._jetstream.alarms), "did_create": True}

    def _stream_info(self, stream: Stream, data: bytes) -> Answer:
        request = decode(data, _InfoRequest) if data else _InfoRequest()
        return _PAGED | telling.stream_info(stream, self._jetstream.alarms, request.subjects_filter)

    def _stream_delete(self, stream: Stream, data: bytes) -> Answer:
        self._jetstream.remove_stream(stream)
        return {"success": True}

    def _stream_purge(self, stream: Stream, data: bytes) -> Answer:
        request = decode(data, _PurgeRequest) if data else _PurgeRequest()
        if request.seq and request.keep:
            return refusals.BAD_REQUEST
        if stream.config.deny_purge:
            return refusals.PURGE_DENIED
        purged = stream.purge(below=request.seq, pattern=request.filter, keep=request.keep)
        return {"success": True, "purged": purged}

    def _stream_get(self, stream: Stream, data: bytes) -> Answer:
        request = decode(data, _GetRequest)
        if request.next_by_subj and not request.last_by_subj:
            return self._stream_get_next(stream, request)
        if bool(request.seq) == bool(request.last_by_subj) or request.next_by_subj:
            return refusals.BAD_REQUEST
        message = stream.messages.get(request.seq or stream.last_on(request.last_by_subj))
        return {"message": telling.stored(message)} if message else refusals.NO_MESSAGE

    def _stream_get_next(self, stream: Stream, request: _GetRequest) -> Answer:
        message = stream.next_on(request.next_by_subj, request.seq)
        return {"message": telling.stored(message)} if message else refusals.NO_MESSAGE

    # Consumers.

    def _consumer_list(self, stream_name: str, data: bytes) -> Answer:
        stream = self._jetstream.streams.get(stream_name)
        if stream is None:
            return refusals.STREAM_NOT_FOUND
        offset = (decode(data, _ListRequest) if data else _ListRequest()).offset
        names = sorted(stream.consumers)
        listed = names[offset : offset + LIST_MAX]
        told = [telling.consumer_info(stream.consumers[name], self._jetstream.alarms) for name in listed]
        return {"total": len(names), "offset": offset, "limit": LIST_MAX, "consumers": told}

    def _consumer_create(self, stream_name: str, name: str, filtered: str, data: bytes) -> Answer:
        request = decode(data, _CreateRequest)
        if request.stream_name != stream_name:
            return refusals.STREAM_MISMATCH
        config = msgspec.structs.replace(request.config, name=name)
        if config.durable_name not in ("", name):
            return refusals.CONSUMER_NAME_MISMATCH
        if filtered and config.filter_subjects:
            return refusals.FILTERS_BY_SUBJECT
        if filtered and config.filter_subject != filtered:
            return refusals.FILTER_MISMATCH
        stream = self._jetstream.streams.get(stream_name)
        if stream is None:
            return refusals.STREAM_NOT_FOUND
        config = config.completed()
        fault = config.fault(stream.config)
        if fault is not None:
            return fault
        existing = stream.consumers.get(name)
        if existing is not None:
            # A pause is kept whatever is said of it here.
            config = msgspec.structs.replace(config, pause_until=existing.config.pause_until)
            if request.action == "create" and existing.config != config:
                return refusals.CONSUMER_EXISTS
            refusal = _overlap(stream, name, config) or _unchangeable(existing.config, config)
            if refusal is not None:
                return refusal
            wakes = existing.config != config and existing.change(config)
            told = existing.first_told or telling.consumer_info(existing, self._jetstream.alarms)
            existing.first_told = None
            if wakes:
                existing.pump()
            return told
        if request.action == "update":
            return refusals.CONSUMER_MISSING
        refusal = _not_unique(stream, name, config)
        if refusal is not None:
            return refusal
        made, alarms = self._jetstream.add_consumer(stream, name, config), self._jetstream.alarms
        if config.pause_until:
            made.pause(alarms.time_of(from_rfc3339(config.pause_until)))
        return telling.consumer_info(made, alarms)

    def _consumer_info(self, consumer: Consumer, data: bytes) -> Answer:
        return telling.consumer_info(consumer, self._jetstream.alarms)

    def _consumer_delete(self, consumer: Consumer, data: bytes) -> Answer:
        self._jetstream.remove_consumer(consumer)
        return {"success": True}

    def _consumer_pause(self, consumer: Consumer, data: bytes) -> Answer:
        request = decode(data, _PauseRequest) if data else _PauseRequest()
        if request.pause_until == NEVER:
            consumer.pause(0.0)
            return {"paused": False, "pause_until": NEVER}
        alarms = self._jetstream.alarms
        consumer.pause(alarms.time_of(from_rfc3339(request.pause_until)))
        remaining_ns = int((consumer.paused_until - alarms.time()) * 1e9)
        told = {"paused": consumer.is_paused, "pause_until": request.pause_until}
        return {**told, "pause_remaining": remaining_ns} if consumer.is_paused else told


def _unchangeable(before: ConsumerConfig, wanted: ConsumerConfig) -> Refusal | None:
    """Why a consumer cannot become what is wanted; None if it can, or is that."""
    for field, reason in UNCHANGEABLE.items():
        if getattr(before, field) != getattr(wanted, field):
            return refusals.not_created(reason)
    changes = {field: getattr(wanted, field) for field in CHANGEABLE}
    if msgspec.structs.replace(before, **changes) != wanted:
        raise Unmodelled(f"a change of consumer {wanted.name}: {before} to {wanted}")
    return None


def _not_unique(stream: Stream, name: str, config: ConsumerConfig) -> Refusal | None:
    """Why a work queue cannot have one more consumer; None if it can."""
    others = [other for other in stream.consumers if other != name]
    if stream.config.retention == "workqueue" and others and not config.filters:
        return refusals.QUEUE_UNFILTERED
    return _overlap(stream, name, config)


def _overlap(stream: Stream, name: str, config: ConsumerConfig) -> Refusal | None:
    """Why a consumer of a work queue cannot have its filters; None if it can.

    One that is there can lose them all, whatever others have: then it is delivered what is theirs as well.
    """
    if stream.config.retention != "workqueue":
        return None
    others = [consumer.config.filters for consumer in stream.consumers.values() if consumer.name != name]
    for one in config.filters:
        if any(not theirs or any(collide(one, two) for two in theirs) for theirs in others):
            return refusals.QUEUE_OVERLAP
    return None
