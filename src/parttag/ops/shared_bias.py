"""A bias that all layers of a network read where it is, for the kernels."""

from jaxtyping import Float
from torch import Tensor


class SharedBias:
    """A packed bias that many layers use, and its gradient, added up in place.

    The layers read ``matrices``, in which a jet's bias has a cell for every query and key; the
    kernels make them once (``kernels/bias_matrices.py``), and ``gradient`` is laid out likewise.

    Each layer's backward pass adds its part; the one that comes last hands the sum to autograd, the
    others hand it nothing. So all uses must take part in a backward pass, or none.
    """

    def __init__(self, values: Float[Tensor, "heads pairs"]) -> None:
        self.values = values.contiguous()
        self.matrices: Tensor | None = None
        self.num_uses = 0
        self.num_added = 0
        self.gradient: Tensor | None = None

    def added(self) -> Tensor | None:
        """Say that one more layer has added its part; return the sum if it was the last."""
        self.num_added += 1
        if self.num_added < self.num_uses:
            return None
        total, self.gradient = self.gradient, None
        self.num_uses = self.num_added = 0
        return total
