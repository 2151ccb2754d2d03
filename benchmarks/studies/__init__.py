"""Does the harness say what is so? Real sessions with nothing changed, real slowdowns, the engines' own tools beside it.

Run by path, never installed: ``python benchmarks/studies``.
"""
