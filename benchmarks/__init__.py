"""Runs sessions, keeps raw samples, derives statistics, judges."""
