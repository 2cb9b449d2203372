"""Known-bad variants of star's services, one file each."""
