"""Training that brings back what a change to a module cost: distillation from the original, with labels or without."""
