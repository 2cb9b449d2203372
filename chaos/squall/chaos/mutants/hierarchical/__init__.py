"""Known-bad variants of hierarchical's services, a file each, and their catalogue."""
