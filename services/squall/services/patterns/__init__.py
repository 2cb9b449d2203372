"""The deployment patterns: which roles, how many, which workload."""
