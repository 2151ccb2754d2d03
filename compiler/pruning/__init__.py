"""Structured pruning of torch modules: what can be cut together, what that costs, and what it gains in time."""
