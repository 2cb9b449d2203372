"""Mutants of the protocol code that a machine makes; see pyproject.toml beside this for how to run it."""
