"""One kind of fault a file."""
