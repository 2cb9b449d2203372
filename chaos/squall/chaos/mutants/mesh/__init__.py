"""Known-bad variants of mesh's services, one file each."""
