"""Does the harness say what is so? Real sessions unchanged and slowed down, and the engines' own tools beside it.

Run by path, never installed: ``python benchmarks/studies``.
"""
