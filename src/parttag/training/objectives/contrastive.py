"""Contrastive learning: the two views of a jet are to be alike, and unlike those of other jets.

Two views of each jet (``augmentations.py``) go through the network's encoder and a projection head,
2 x (ReLU → linear), and are brought to length 1: z. With s the scalar product, τ the temperature,
and i′ the other view of the same jet, the loss of a view i is NT-Xent,

    −ln [exp(s(i, i′)/τ) / Σ_{k ≠ i} exp(s(i, k)/τ)],

where k goes over the 2B − 1 other views in the batch, of all ranks; that of a jet is the mean of
its two. Its health is logged beside it:

- ``partner_accuracy``: the share of views to which no other is as near as their partner;
- ``alignment``: mean of |z − z′|² over the jets, 0 for a perfect invariance;
- ``uniformity``: ln of the mean of exp(−2 |z − z″|²) over the pairs of different jets, within
  either view, then averaged over the two. It is 0 if all jets are alike, which is what a collapsed
  encoder gives; −4 is that of many jets spread over a sphere of many dimensions. It is a number of
  a batch, and so depends on its size; one of fewer than two jets counts as 0.

What is handed on, and what ``parttag evaluate --probe linear`` reads, is what the encoder returns,
before the projection head. Particles of kinds without four-momenta, which no augmentation changes,
are left out of both views. The published numbers of JetCLR may be of the representation after the
head's first layer, the default of the authors' code as it was last changed.

References
----------
arXiv:2108.04253 (JetCLR), arXiv:2002.05709 (SimCLR, the loss), arXiv:2005.10242 (alignment and
uniformity).
"""

from itertools import pairwise
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor, nn

from parttag.jets.batch import JetBatch, join_batches
from parttag.jets.kind_features import have_momenta
from parttag.models import Tagger
from parttag.ops.collectives import gather_over_ranks, sum_over_ranks
from parttag.training.objectives.augmentations import AugmentationOptions, make_views
from parttag.training.objectives.objective import BatchSums, Objective, ObjectiveOptions
from parttag.training.objectives.registry import register_objective


class ContrastiveOptions(ObjectiveOptions):
    """Tell the two views of a jet from those of all others in the batch; no labels are used."""

    name: Literal["contrastive"] = "contrastive"
    temperature: PositiveFloat = 0.1
    """What similarities are divided by: the smaller, the more the nearest other jets count."""
    projection_dims: tuple[PositiveInt, ...] | None = Field(default=None, min_length=1)
    """Widths of the layers of the projection head; null for two as wide as the representation."""
    augmentations: AugmentationOptions = AugmentationOptions()
    """How the views of a jet differ."""


@register_objective("contrastive")
class Contrastive(Objective):
    """Sums over jets of NT-Xent and of what tells how well the views are matched."""

    options_class = ContrastiveOptions
    needs_labels = False
    gives_scores = False
    of_momenta = "makes views of"
    leaves_out_others = True
    metric_names: tuple[str, ...] = ("partner_accuracy", "alignment", "uniformity")

    def __init__(self, options: ContrastiveOptions) -> None:
        self.options = options

    def build_head(self, model: Tagger) -> nn.Module:
        """Return the projection head."""
        width = model.encoded_width
        return projection_head(width, self.options.projection_dims or (width, width))

    def __call__(self, model: Tagger, batch: JetBatch) -> BatchSums:
        """Return the sums over the jets of a batch, each compared with those of all ranks."""
        seen = have_momenta(batch)
        if seen is not None:
            batch = batch.keep_particles(seen)
        views = join_batches(make_views(batch, self.options.augmentations))
        projected = model(views)
        first, second = projected[: len(batch)], projected[len(batch) :]
        contrast = compare_views(first, second, self.options.temperature)
        jet_weights = batch.jet_weights
        return BatchSums(
            loss=(jet_weights * contrast.loss).sum(),
            weight=jet_weights.sum(),
            size=jet_weights.abs().sum(),
            metrics={
                name: (jet_weights * getattr(contrast, name)).sum() for name in self.metric_names
            },
        )


def projection_head(width: int, dims: tuple[int, ...]) -> nn.Sequential:
    """Return ReLU and a linear layer for each of ``dims``."""
    head = nn.Sequential()
    for before, after in pairwise((width, *dims)):
        head.extend([nn.ReLU(), nn.Linear(before, after)])
    return head


class Contrast(NamedTuple):
    """How the views of each jet compare with one another and with those of all other jets."""

    loss: Float[Tensor, " jets"]
    """NT-Xent, the mean of both views; the others have no gradient."""
    partner_accuracy: Float[Tensor, " jets"]
    alignment: Float[Tensor, " jets"]
    uniformity: Float[Tensor, ""]
    """Of the whole batch, the same on all ranks."""


def compare_views(
    first: Float[Tensor, "jets width"], second: Float[Tensor, "jets width"], temperature: float
) -> Contrast:
    """Return how two views of the same jets compare, in float32 or wider.

    Every rank must call it: the jets are compared with those of all ranks, of which each may have
    another number, or none.
    """
    with torch.autocast(first.device.type, enabled=False):
        wide = torch.promote_types(first.dtype, torch.float32)
        first, second = (F.normalize(view.to(wide), dim=1) for view in (first, second))
        everywhere, start = gather_over_ranks(torch.cat([first, second], dim=1))
        # (2B, 2B of all ranks): the first views of all jets, then the second ones.
        similarity = torch.cat([first, second]) @ torch.cat(everywhere.chunk(2, dim=1)).t()
        own, partner = _columns(len(first), start, len(everywhere), first.device)
        logits = (similarity / temperature).scatter(1, own[:, None], -torch.inf)
        of_partner = logits.gather(1, partner[:, None])
        losses = logits.logsumexp(dim=1) - of_partner[:, 0]
        # Ties do not count: an encoder that has collapsed finds nobody.
        finds = (logits >= of_partner).sum(dim=1) == 1
        return Contrast(
            loss=_mean_of_views(losses),
            partner_accuracy=_mean_of_views(finds.to(wide)),
            alignment=(first - second).detach().square().sum(dim=1),
            uniformity=_uniformity(similarity.detach(), own, len(everywhere)),
        )


def _columns(
    num_jets: int, start: int, num_everywhere: int, device: torch.device
) -> tuple[Int64[Tensor, " views"], Int64[Tensor, " views"]]:
    """Return where each view of this rank's jets is among all, and where its partner is."""
    first = start + torch.arange(num_jets, device=device)
    second = num_everywhere + first
    return torch.cat([first, second]), torch.cat([second, first])


def _mean_of_views(values: Float[Tensor, " views"]) -> Float[Tensor, " jets"]:
    return values.view(2, len(values) // 2).mean(dim=0)


def _uniformity(
    similarity: Float[Tensor, "views views_everywhere"],
    own: Int64[Tensor, " views"],
    num_everywhere: int,
) -> Float[Tensor, ""]:
    if num_everywhere < 2:
        return similarity.new_zeros(())
    # |z − z″|² = 2 − 2 s, for unit vectors.
    kernel = (4 * (similarity - 1)).exp().scatter(1, own[:, None], 0)
    num_jets = len(own) // 2
    within_first = kernel[:num_jets, :num_everywhere].sum()
    within_second = kernel[num_jets:, num_everywhere:].sum()
    sums = sum_over_ranks(torch.stack([within_first, within_second]))
    return (sums / (num_everywhere * (num_everywhere - 1))).log().mean()
