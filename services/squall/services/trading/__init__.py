"""The trading workload: real daily bars replayed for many accounts, strategies, orders, and an oracle."""
