"""Joins the rest: plan, passes, lowering, proof, bundle."""
