"""Who broke it: each layer's own error, and the smallest piece of a model that still fails."""
