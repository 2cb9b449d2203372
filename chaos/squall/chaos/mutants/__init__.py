"""Known-bad variants that the checks must catch."""
