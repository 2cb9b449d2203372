"""Faults put in force on a running swarm, seen to be in force, and healed."""
