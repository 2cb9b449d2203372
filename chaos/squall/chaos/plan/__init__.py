"""Which fault strikes whom, and when: drawn from a seed, before anything runs. Pure."""
