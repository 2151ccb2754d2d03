"""Measuring one engine by the protocol: child processes, warm-up, runs, audits, clocks, energy, and the timing lock."""
