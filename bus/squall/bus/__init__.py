"""Typed messages over NATS; knows nothing of roles, patterns or faults."""
