"""What must be fast: pair embedding and biased attention."""
