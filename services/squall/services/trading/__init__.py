"""The trading workload: real daily bars replayed for many accounts, strategies, and their orders."""
