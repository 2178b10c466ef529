"""The same numbers in every run on the same GPU: ``training.deterministic``."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from parttag.errors import InputError

# Of cuBLAS, which otherwise may sum in another order from call to call.
_WORKSPACE = ("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


@contextmanager
def deterministic(wanted: bool) -> Iterator[None]:
    """Let torch take operations whose results do not depend on chance, if wanted.

    It then takes sums in a fixed order where others add as they come: for ``index_add``, the
    gradients of ``index_select`` and ``gather``, and others. What it has no such operation for, it
    refuses.

    Raises
    ------
    InputError
        If an operation is refused.

    References
    ----------
    https://docs.pytorch.org/docs/stable/generated/torch.use_deterministic_algorithms.html
    """
    if not wanted:
        yield
        return
    os.environ.setdefault(*_WORKSPACE)
    mode = torch.get_deterministic_debug_mode()
    fills = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    try:
        yield
    except RuntimeError as error:
        if "deterministic" not in str(error):
            raise
        first = str(error).splitlines()[0]
        raise InputError(
            f"training.deterministic: torch has no such operation for what this network does "
            f"({first}); choose training.deterministic=false"
        ) from error
    finally:
        torch.set_deterministic_debug_mode(mode)
        torch.utils.deterministic.fill_uninitialized_memory = fills  # type: ignore[attr-defined]
