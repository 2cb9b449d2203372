"""A result in the forms that others read."""
