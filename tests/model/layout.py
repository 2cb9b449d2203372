"""The streams and consumers of a differential test: those of a swarm, with bounds that are soon reached."""

from __future__ import annotations

from typing import Any

S = 10**9

PUBLISHED = ("IN", "JOB", "RES", "TRY", "OLD", "MEM", "SAY")
"""Streams with subjects of their own."""

STREAMS = (*PUBLISHED, "WK", "QUE", "DLQ")

SOURCED = ("WK", "QUE", "DLQ")

CONSUMERS = (("WK", "pool"), ("RES", "gateway"), ("QUE", "spoke-1"), ("QUE", "spoke-2"), ("OLD", "old"))

ACK_WAIT_S = 1.0


def subjects(p: str, stream: str) -> list[str]:
    """Subjects of a stream that are published to, or found in it."""
    return {
        "IN": [f"{p}.in.a.k1", f"{p}.in.b.k1", f"{p}.in.c.k1", f"{p}.in.a.k2", f"{p}.in.d.k1"],
        "JOB": [f"{p}.job.term", *(f"{p}.job.j1.task.k{n}.t{n}" for n in range(1, 4)), f"{p}.job.j1.dead.t1"],
        "RES": [f"{p}.res.{n % 3}.t{n}" for n in range(5)],
        "TRY": [f"{p}.try.pool.{n}" for n in range(5)],
        "OLD": [f"{p}.old.a", f"{p}.old.b", f"{p}.old.c", f"{p}.old.a", f"{p}.old.d"],
        "MEM": [f"{p}.mem.a", f"{p}.mem.b.c", f"{p}.mem.b.d", f"{p}.mem.a", f"{p}.mem.e"],
        "SAY": [f"{p}.say.a", f"{p}.say.a.b", f"{p}.say.b.c", f"{p}.say.c", f"{p}.say.a.d"],
        "WK": [f"{p}.wk.3.task.k1.t1", f"{p}.wk.*.task.k2.*"],
        "QUE": [f"{p}.que.*.k1", f"{p}.que.a.*"],
        "DLQ": [f"{p}.dlq.j1.t1"],
    }[stream]


def patterns(p: str, stream: str) -> list[str]:
    """Patterns of what is purged, read or looked for."""
    return {
        "IN": [f"{p}.in.>", f"{p}.in.a.*", f"{p}.in.*.k1", f"{p}.in.c.k1"],
        "JOB": [f"{p}.job.>", f"{p}.job.*.task.*.*", f"{p}.job.lease", f"{p}.job.*.dead.*"],
        "RES": [f"{p}.res.*.*", f"{p}.res.1.*", f"{p}.res.*.t1", f"{p}.res.0.t0"],
        "TRY": [f"{p}.try.*.*", f"{p}.try.pool.1", f"{p}.try.>", f"{p}.try.pool.*"],
        "OLD": [f"{p}.old.*", f"{p}.old.a", f"{p}.old.>", f"{p}.old.b"],
        "MEM": [f"{p}.mem.>", f"{p}.mem.b.*", f"{p}.mem.a", f"{p}.mem.*"],
        "SAY": [f"{p}.say.>", f"{p}.say.a.*", f"{p}.say.a", f"{p}.say.*"],
        "WK": [f"{p}.wk.>", f"{p}.wk.*.task.k1.*", f"{p}.wk.1.>", f"{p}.wk.*.*.*.t2"],
    }.get(stream, [f"{p}.{stream.lower()}.>", f"{p}.{stream.lower()}.*.*"] * 2)


def batched(p: str) -> list[str]:
    """Subjects of a batch's messages."""
    tasks = [f"{p}.job.j{1 + n % 2}.task.k{n}.t{n}" for n in range(1, 6)]
    return [
        f"{p}.job.lease",
        f"{p}.job.term",
        f"{p}.job.state",
        *tasks,
        f"{p}.job.j1.dead.t1",
        f"{p}.job.j1.dead.t2",
    ]


def streams(p: str) -> list[dict[str, Any]]:
    common = {"storage": "file", "num_replicas": 1, "deny_delete": True}
    sourced = {"discard": "new", **common}
    wk = f"{p}.wk.{{{{partition(10,2)}}}}.task.{{{{wildcard(2)}}}}.{{{{wildcard(3)}}}}"
    dlq = f"{p}.dlq.{{{{wildcard(1)}}}}.{{{{wildcard(2)}}}}"
    return [
        {
            "name": f"{p}IN",
            "description": "what comes in",
            "subjects": [f"{p}.in.>"],
            "retention": "limits",
            "discard": "new",
            "max_msgs": 6,
            "max_bytes": 2000,
            "duplicate_window": int(1.5 * S),
            "allow_direct": True,
            **common,
        },
        {
            "name": f"{p}JOB",
            "subjects": [f"{p}.job.>"],
            "discard": "new",
            "max_msgs_per_subject": 1,
            "max_msgs": 4,
            "max_bytes": 1800,
            "max_msg_size": 240,
            "allow_atomic": True,
            "allow_direct": True,
            **common,
        },
        {
            "name": f"{p}RES",
            "subjects": [f"{p}.res.*.*"],
            "max_msgs_per_subject": 1,
            "max_bytes": 100000,
            "discard": "new",
            "discard_new_per_subject": True,
            "allow_atomic": True,
            "deny_purge": True,
            **common,
        },
        {
            "name": f"{p}TRY",
            "subjects": [f"{p}.try.*.*"],
            "max_msgs_per_subject": 1,
            "max_msgs": 3,
            "discard": "old",
            "allow_direct": True,
            "deny_purge": True,
            **common,
        },
        {
            "name": f"{p}OLD",
            "subjects": [f"{p}.old.*"],
            "max_msgs_per_subject": 2,
            "max_msgs": 5,
            "max_bytes": 600,
            "max_msg_size": 90,
            "allow_direct": True,
            "republish": {"src": f"{p}.old.*", "dest": f"{p}.plain.a.{{{{wildcard(1)}}}}"},
            **common,
        },
        {
            "name": f"{p}MEM",
            "subjects": [f"{p}.mem.>"],
            "max_bytes": 300,
            "storage": "memory",
            "allow_atomic": True,
        },
        {
            "name": f"{p}SAY",
            "subjects": [f"{p}.say.>"],
            "max_msgs": 1,
            "max_msg_size": 35,
            "no_ack": True,
            "republish": {"src": f"{p}.say.>", "dest": f"{p}.plain.>"},
        },
        {
            "name": f"{p}WK",
            "retention": "workqueue",
            "max_bytes": 1200,
            "duplicate_window": 100_000_000,
            "sources": [
                {"name": f"{p}JOB", "subject_transforms": [{"src": f"{p}.job.*.task.*.*", "dest": wk}]}
            ],
            **sourced,
        },
        {
            "name": f"{p}QUE",
            "retention": "workqueue",
            "max_msgs": 20,
            "duplicate_window": int(1.5 * S),
            "republish": {"src": f"{p}.que.>", "dest": f"{p}.plain.c.>"},
            "sources": [
                {
                    "name": f"{p}IN",
                    "subject_transforms": [
                        {"src": f"{p}.in.*.*", "dest": f"{p}.que.{{{{wildcard(1)}}}}.{{{{wildcard(2)}}}}"}
                    ],
                }
            ],
            **sourced,
        },
        {
            "name": f"{p}DLQ",
            "max_age": 3600 * S,
            "max_bytes": 300,
            "sources": [
                {
                    "name": f"{p}JOB",
                    "subject_transforms": [{"src": f"{p}.job.*.dead.*", "dest": dlq}],
                }
            ],
            **common,
        },
    ]


def consumer(p: str, which: int) -> tuple[str, dict[str, Any]]:
    """The subject on which a consumer is asked for, and the request."""
    stream, name = CONSUMERS[which]
    common = {"name": name, "durable_name": name, "ack_policy": "explicit", "ack_wait": int(ACK_WAIT_S * S)}
    more: dict[str, Any] = {
        "pool": {
            "filter_subject": f"{p}.wk.>",
            "max_ack_pending": 3,
            "max_waiting": 3,
            "max_batch": 3,
            "max_expires": S,
        },
        "gateway": {"filter_subject": f"{p}.res.*.*", "max_ack_pending": 100},
        "spoke-1": {"filter_subjects": [f"{p}.que.a.*", f"{p}.que.b.*"]},
        "spoke-2": {"filter_subject": f"{p}.que.c.*", "max_ack_pending": 1},
        "old": {"max_ack_pending": 2},
    }[name]
    subject = f"$JS.API.CONSUMER.CREATE.{p}{stream}.{name}"
    if "filter_subject" in more:
        subject += f".{more['filter_subject']}"
    return subject, {"stream_name": f"{p}{stream}", "config": {**common, **more}}


def changed(p: str, which: int, filters: int, pending: int, metadata: int) -> tuple[str, dict[str, Any]]:
    """One of the consumers that share a work queue as it is to be; some of it the other does not allow."""
    name = f"spoke-{which + 1}"
    own, other = (("a", "b"), ("c",)) if which == 0 else (("c",), ("a", "b"))
    choices: tuple[tuple[str, ...], ...] = (
        tuple(f"{p}.que.{kind}.*" for kind in own),
        (f"{p}.que.none-{which}.*",),
        (f"{p}.que.{own[0]}.*", f"{p}.que.d.*"),
        (f"{p}.que.{other[0]}.*",),
        (f"{p}.que.none-{which}.*", f"{p}.que.{own[-1]}.*"),
        (),
    )
    config: dict[str, Any] = {
        "name": name,
        "durable_name": name,
        "ack_policy": "explicit",
        "ack_wait": int(ACK_WAIT_S * S),
        "filter_subjects": choices[filters],
        **({"max_ack_pending": pending} if pending else {}),
        **({"metadata": {"epoch": str(metadata)}} if metadata else {}),
    }
    return f"$JS.API.CONSUMER.CREATE.{p}QUE.{name}", {"stream_name": f"{p}QUE", "config": config}


def misconfigured(p: str, which: int) -> tuple[str, dict[str, Any]]:
    """A request for something that cannot be, or is there."""
    if which == 0:
        config = streams(p)[0]
        return f"$JS.API.STREAM.CREATE.{config['name']}", config
    if which == 1:
        return consumer(p, 0)
    wrong_streams: list[dict[str, Any]] = [
        {**streams(p)[0], "max_msgs": 7},
        {"name": f"{p}NEW", "subjects": [f"{p}.res.1.*"]},
        {"name": f"{p}NEW", "subjects": [f"{p}.new.a", f"{p}.new.*"]},
        {"name": f"{p}NEW", "subjects": [f"{p}.new.a"], "discard_new_per_subject": True},
    ]
    if which < 6:
        config = wrong_streams[which - 2]
        return f"$JS.API.STREAM.CREATE.{config['name']}", config
    wrong_consumers: list[tuple[str, dict[str, Any]]] = [
        ("WK", {"ack_policy": "explicit", "durable_name": "more", "filter_subject": f"{p}.wk.3.>"}),
        ("QUE", {"ack_policy": "explicit", "durable_name": "more"}),
        ("QUE", {"ack_policy": "none", "durable_name": "more", "filter_subject": f"{p}.que.d.*"}),
        ("RES", {"durable_name": "more", "filter_subjects": [f"{p}.res.>", f"{p}.res.1.*"]}),
        ("RES", {"durable_name": "more", "deliver_policy": "by_start_sequence"}),
        ("RES", {"durable_name": "gateway", "deliver_policy": "new", "ack_policy": "explicit"}),
        ("NONE", {"durable_name": "more"}),
    ]
    stream, config = wrong_consumers[which - 6]
    name = config["durable_name"]
    request = {"stream_name": f"{p}{stream}", "config": {"name": name, **config}}
    return f"$JS.API.CONSUMER.CREATE.{p}{stream}.{name}", request
