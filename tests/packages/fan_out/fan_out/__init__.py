"""Fan-out: a pattern of one's own for Squall."""
