"""Operations whose results on CUDA depend on the order in which threads happen to add.

Source: torch.use_deterministic_algorithms of torch 2.13; where it names a layer or a function, the
operations that these are made of are here.
"""

import torch

aten = torch.ops.aten

REPLACED = {
    "aten.index_add", "aten.index_add_", "aten.index_copy", "aten.index_copy_", "aten.scatter",
    "aten.scatter_", "aten.scatter_add", "aten.scatter_add_", "aten.embedding_dense_backward",
    "aten.index_put", "aten.index_put_", "aten._index_put_impl_", "aten._unsafe_index_put",
    "aten.convolution", "aten.convolution_backward",
}  # fmt: skip
"""For which the deterministic mode takes another algorithm."""

REFUSED = {
    "aten.histc", "aten.kthvalue", "aten.put_", "aten.put",
    "aten.max_pool3d_with_indices_backward", "aten.adaptive_max_pool2d_backward",
    "aten._adaptive_avg_pool2d_backward", "aten.upsample_bilinear2d_backward",
    "aten.upsample_linear1d_backward", "aten.reflection_pad1d_backward",
    "aten.replication_pad1d_backward", "aten.nll_loss2d_forward", "aten._ctc_loss_backward",
    "aten.grid_sampler_2d_backward", "aten._embedding_bag_per_sample_weights_backward",
}  # fmt: skip
"""Which it refuses, whatever they are given."""


def is_refused(function: object, args: tuple[object, ...], kwargs: dict[str, object]) -> bool:
    """Return whether the deterministic mode raises for a call on CUDA."""
    name = name_of(function)
    first = args[0] if args else None
    is_float = isinstance(first, torch.Tensor) and first.is_floating_point()
    if name in ("aten.cumsum", "aten.cumsum_"):
        return is_float
    if name in ("aten.scatter_reduce", "aten.scatter_reduce_"):
        reduction = args[4] if len(args) > 4 else kwargs.get("reduce")
        return reduction in ("sum", "mean", "prod")
    if name in ("aten.median", "aten.nanmedian"):
        return len(args) > 1  # with the places of the medians
    if name == "aten.bincount":
        return len(args) > 1 and args[1] is not None
    return name in REFUSED


def name_of(function: object) -> str:
    """Return the name of an operation without that of its overload."""
    return ".".join(str(function).split(".")[:2])
