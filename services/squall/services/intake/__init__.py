"""A user's own tasks: read from a file, a pipe or a subject, checked one by one, kept in the run's directory.

    FILE.jsonl | FILE.csv  ──► records ──► tasks.sqlite    what the producer offers, in this order
      results of an earlier run ──────┤                        what has ended by these is not offered
                                      └──────► set-aside.jsonl what no task can be made of, and why

All of it is read before anything starts, and never more than one record of it is in memory. What comes in
while the swarm runs (`arrivals.py`) is kept in the same places: on a subject (`subject.py`) by the producer,
through a pipe (`piped.py`) by the command.
"""
