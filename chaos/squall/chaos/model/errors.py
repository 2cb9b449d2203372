"""What is no behaviour of the broker's."""

from __future__ import annotations


class Unmodelled(Exception):
    """The model was asked for something of which it does not know what nats-server would do.

    It ends the simulation: what came after it would be a guess. Model it and hold it to the server, or do
    without.
    """
