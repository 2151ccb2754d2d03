"""Two bundles against each other: sessions of interleaved pairs of fresh processes, and what they leave behind."""
