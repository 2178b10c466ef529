"""Fast operations: pair embedding, biased attention, sums over particles."""
