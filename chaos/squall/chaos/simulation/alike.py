"""Whether one seed comes to the same in two processes that have nothing else in common.

What a simulated world cannot give a handler, and is nowhere refused, shows here: whatever a hash, an id, the
order of a set, a file or a library's own chance have done to a result.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager

from squall.chaos.errors import HandlerError
from squall.chaos.simulation.many import begin, ended_early
from squall.chaos.simulation.outcome import Plan, outcome

HASH_SEEDS = ("1", "2")
"""By what two processes hash texts; nothing may depend on it."""


def check_alike(plan: Plan, seed: int) -> None:
    """See that a seed comes to the same in two processes.

    Raises:
        HandlerError: It does not, or the handler does not return.
    """
    with ExitStack() as stack, ended_early():
        pools = [stack.enter_context(_process(hash_seed)) for hash_seed in HASH_SEEDS]
        under_way = [pool.submit(outcome, plan, seed) for pool in pools]
        digests = {each.result().digest for each in under_way}
    if len(digests) > 1:
        raise HandlerError(
            f"the handler {plan.spec.handler} is not deterministic: in two processes seed {seed} came to two "
            "results",
            "let it return the same for the same task whatever the hash or id of something, the order of a "
            "set, a file, the process or a library's own random numbers are, or try it with `squall chaos`",
        )


@contextmanager
def _process(hash_seed: str) -> Iterator[ProcessPoolExecutor]:
    """A process that hashes texts by a seed of its own."""
    before = os.environ.get("PYTHONHASHSEED")
    os.environ["PYTHONHASHSEED"] = hash_seed
    pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"), initializer=begin)
    try:
        pool.submit(os.getpid)  # which starts it
    finally:
        if before is None:
            del os.environ["PYTHONHASHSEED"]
        else:
            os.environ["PYTHONHASHSEED"] = before
    try:
        yield pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
