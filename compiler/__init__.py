"""Reads models, transforms them by passes, and knows no engine by name."""
