"""What a package that adds to parttag needs to test itself."""

from parttag.testing.jets import toy_batch, toy_jets
from parttag.testing.laws import check_network

__all__ = ["check_network", "toy_batch", "toy_jets"]
