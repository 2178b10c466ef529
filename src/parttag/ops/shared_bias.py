"""A bias that all layers of a network read where it is, for the kernels."""

import torch
from jaxtyping import Float
from torch import Tensor


class BiasGradient:
    """The gradient of a shared bias, which layers add up in place during one backward pass."""

    def __init__(self) -> None:
        self._buffer: Tensor | None = None
        self._backward_pass = -1

    def buffer(self, like: Tensor) -> tuple[Tensor, bool]:
        """Return what a layer adds its part to, and whether there is anything in it yet.

        What another backward pass has left behind, of which nobody took the sum, is forgotten.
        """
        this_pass = torch._C._current_graph_task_id()
        has_parts = self._buffer is not None and self._backward_pass == this_pass
        if not has_parts:
            self._buffer = torch.empty_like(like, dtype=torch.float32)
            self._backward_pass = this_pass
        assert self._buffer is not None
        return self._buffer, has_parts

    def take(self) -> Tensor | None:
        """Return the sum of the running backward pass, and forget it; ``None`` without parts."""
        buffer, self._buffer = self._buffer, None
        is_old = self._backward_pass != torch._C._current_graph_task_id()
        return None if is_old else buffer


class SharedBias:
    """A packed bias that many layers use, and its gradient, added up in place.

    The layers read ``matrices``, in which a jet's bias has a cell for every query and key; the
    kernels make them once (``kernels/bias_matrices.py``), and the gradient is laid out likewise.

    ``token`` ties the layers to the bias in autograd's graph: it holds nothing, every layer takes
    it, and its own backward step, which autograd runs after those of all layers that take part,
    hands the sum of their gradients on. So a layer may go unused, or be computed again
    (``torch.utils.checkpoint``).
    """

    def __init__(
        self, values: Float[Tensor, "heads pairs"], token: Tensor, gradient: BiasGradient
    ) -> None:
        self.values = values
        self.token = token
        self.gradient = gradient
        self.matrices: Tensor | None = None
