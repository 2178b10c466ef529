"""The same command in several processes that train together. Needs no torch."""

from parttag.runs.ranks import end_with_parent, is_rank, run_ranks

__all__ = ["end_with_parent", "is_rank", "run_ranks"]
