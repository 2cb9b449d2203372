"""A swarm as a block: what it is told, its nodes, its directory, its result."""
