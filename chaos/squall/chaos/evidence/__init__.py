"""A run's directory read as plain data, and what makes it doubtful."""
