"""Verdicts from evidence: checks, bounds, coverage. Pure."""
