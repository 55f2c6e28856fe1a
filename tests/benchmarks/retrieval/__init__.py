"""``make bench-retrieval``: what is found, what is refused, how fast, and what it costs to read documents in."""
