"""Quantisation-aware training that simulates exactly the codes that lowering will write."""
