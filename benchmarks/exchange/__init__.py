"""pytest-benchmark: its JSON written and read, and the plugin that measures a bundle in a user's own tests."""
