"""Tests for packages that add to parttag: laws, toy jets, tolerances."""

from parttag.testing.jets import toy_batch, toy_jets
from parttag.testing.laws import check_network

__all__ = ["check_network", "toy_batch", "toy_jets"]
