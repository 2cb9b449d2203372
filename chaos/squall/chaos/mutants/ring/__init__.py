"""Known-bad variants of the services of stages in a row, one file each."""
