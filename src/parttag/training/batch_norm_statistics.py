"""Batch norms whose statistics are of other jets: measured anew, the network staying the same."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import islice

import torch
from jaxtyping import Float
from torch import Tensor

from parttag.data.loading.loader import JetLoader
from parttag.models import Tagger
from parttag.models.layers.batch_norm import PackedBatchNorm
from parttag.training.distributed import Ranks
from parttag.training.transfer import InitOptions, batch_norms

logger = logging.getLogger(__name__)

NUM_JETS = 2000
"""At least so many jets are looked at, in whole batches: a hundred thousand particles or so."""

Moments = tuple[Float[Tensor, " channels"], Float[Tensor, " channels"]]


@torch.no_grad()
def adapt_batch_norms(
    model: Tagger, options: InitOptions | None, loader: JetLoader, ranks: Ranks
) -> None:
    """Give batch norms the statistics of jets, and change scale and shift so that all else stays.

    A norm's mean and variance become the averages of those that it sees in the first batches of the
    training, while the network computes what it was loaded to compute. In evaluation the network is
    the same function as before; in training, with the statistics of batches, nearly. Norms that are
    frozen are left alone, and so are all if ``options`` do not ask for it.

    Parameters
    ----------
    model
        The network, on the device of the ranks.
    options
        What the training starts from.
    loader
        Of the training jets; all ranks do this together.
    """
    if options is None or options.batch_norms != "adapted":
        return
    model.eval()
    dtype = next(model.parameters()).dtype
    norms = [norm for norm in batch_norms(model) if norm.weight.requires_grad]
    number = -(-NUM_JETS // loader.batch_size)
    with closing(loader.epoch(0)) as epoch:  # type: ignore[type-var]
        batches = [batch.to(ranks.device, dtype) for batch in islice(epoch, number)]
    found: list[Moments] = []
    for norm in norms:
        with _measuring(norm) as moments:
            for count, batch in enumerate(batches):
                norm.momentum = 1 / (count + 1)  # the average of all batches so far
                model.encode(batch)
        found.append(moments)
    for norm, (mean, var) in zip(norms, found, strict=True):
        _change_statistics(norm, mean, var)
    logger.info(
        "init_from.batch_norms: %d of %d were adapted on %d batches",
        *(len(norms), len(batch_norms(model)), len(batches)),
    )


@contextmanager
def _measuring(norm: PackedBatchNorm) -> Iterator[Moments]:
    """Let one norm gather statistics; when done they are in what is yielded, and it has its own."""
    buffers: Sequence[Tensor] = (norm.running_mean, norm.running_var, norm.num_batches_tracked)
    own, momentum = [buffer.clone() for buffer in buffers], norm.momentum
    moments = (torch.zeros_like(norm.running_mean), torch.zeros_like(norm.running_var))
    norm.train()
    yield moments
    norm.eval()
    for kept, buffer, before in zip((*moments, None), buffers, own, strict=True):
        if kept is not None:
            kept.copy_(buffer)
        buffer.copy_(before)
    norm.momentum = momentum


def _change_statistics(norm: PackedBatchNorm, mean: Tensor, var: Tensor) -> None:
    """Replace the statistics of a norm, and not what it makes of its inputs."""
    inverse = (norm.running_var + norm.eps).rsqrt()
    norm.bias += norm.weight * (mean - norm.running_mean) * inverse
    norm.weight *= (var + norm.eps).sqrt() * inverse
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(var)
