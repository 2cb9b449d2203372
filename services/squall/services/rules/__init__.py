"""Rules: pure functions and small pure state machines that decide."""
