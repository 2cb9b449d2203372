"""A swarm inside somebody's test: what the pytest plugin's fixtures are."""
