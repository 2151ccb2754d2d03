"""Does the harness say what is so, and the compiler what is promised? Real sessions, engines' own tools, hard models.

Run by path, never installed: ``python benchmarks/studies``.
"""
