"""What a node does: one role a file."""
