"""Data sets to batches: order, shares of ranks, prefetching and the copy on a device."""
