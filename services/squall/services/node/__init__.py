"""The process of one node, and the life that all roles share."""
