"""Many nodes in one process, on a virtual clock, against a model of the broker: the same from a seed."""
