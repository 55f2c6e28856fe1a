"""``make bench-model``: how well answers are written, quoted and checked, how fast, and what happens when a model fails."""
