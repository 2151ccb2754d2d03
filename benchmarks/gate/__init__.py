"""The gate: is what is to be shipped worse than what was? Three verdicts, with stated error rates."""
