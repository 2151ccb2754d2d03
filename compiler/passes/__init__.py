"""One file, one pass: the registry finds them by listing this folder."""
