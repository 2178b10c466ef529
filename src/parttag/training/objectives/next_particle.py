"""Next particle: cross-entropy of each token, given those before it (arXiv:2403.05618).

The network reads start and the particles of a jet in order of falling pT, each as a token; after
each it predicts the next token, the last of which is stop.

Two choices where the published code does otherwise or nothing:

- Only real tokens are predicted. The published code pads the targets with the token of start and
  trains them like the others.
- A jet with as many particles as the network reads at most may have been cut there: that it stops
  is not trained, and generated jets end there as well.
"""

from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from parttag.errors import InputError
from parttag.jets.batch import JetBatch
from parttag.models import Tagger
from parttag.models.omnijet import OmniJet
from parttag.training.objectives.objective import BatchSums, Objective, ObjectiveOptions
from parttag.training.objectives.registry import register_objective


class NextParticleOptions(ObjectiveOptions):
    """Cross-entropy of the next token, a mean over tokens weighted by the jets' weights."""

    name: Literal["next_particle"] = "next_particle"


@register_objective("next_particle")
class NextParticle(Objective):
    """Sums over the tokens of all jets; ``loss`` is the mean −ln p, its exponential the perplexity.

    ``token_accuracy`` is the share of tokens that are the likeliest one. ``unigram_accuracy`` is
    what a guess that never looks at a jet could reach: the share of the batch's most frequent
    token.
    """

    options_class = NextParticleOptions
    needs_labels = False
    gives_scores = False
    metric_names: tuple[str, ...] = ("token_accuracy", "unigram_accuracy")

    def build_head(self, model: Tagger) -> nn.Module:
        """Return a linear layer that predicts the next token.

        Raises
        ------
        InputError
            If the network is no decoder of tokens.
        """
        if not isinstance(model, OmniJet):
            raise InputError(
                "objective.name is next_particle, which needs a decoder: choose model.name omnijet"
            )
        return nn.Linear(model.encoded_width, model.num_tokens)

    def __call__(self, model: Tagger, batch: JetBatch) -> BatchSums:
        """Return the sums over the tokens of a batch; ``weight`` counts tokens, not jets."""
        assert isinstance(model, OmniJet)
        return token_sums(model, batch)


def token_sums(model: OmniJet, batch: JetBatch) -> BatchSums:
    """Return the sums over the tokens of a batch, of a network with a head for the next one."""
    states, targets, jet_weights = _predictions(model, batch)
    logits = model.head(states)
    losses = F.cross_entropy(logits, targets, reduction="none")
    right = logits.detach().argmax(dim=1) == targets
    counts = jet_weights.new_zeros(model.num_tokens).index_add(0, targets, jet_weights)
    return BatchSums(
        loss=(jet_weights * losses).sum(),
        weight=jet_weights.sum(),
        size=jet_weights.abs().sum(),
        metrics={
            "token_accuracy": (jet_weights * right).sum(),
            "unigram_accuracy": counts.max(),
        },
    )


def _predictions(
    model: OmniJet, batch: JetBatch
) -> tuple[Float[Tensor, "tokens width"], Int64[Tensor, " tokens"], Float[Tensor, " tokens"]]:
    """Return the state before every token that is predicted, the token, and its jet's weight."""
    batch = batch.leading(model.max_particles)
    codes = model.backbone.tokenizer.codes(batch)
    before = model.sentences(codes, batch.lengths, stop=False)
    after = model.sentences(codes, batch.lengths, start=False)
    states, targets = model.backbone(before), after.tokens
    lengths = after.layout.lengths
    jet = np.repeat(np.arange(len(batch)), lengths)
    is_cut = batch.lengths == model.max_particles
    if is_cut.any():
        keep = np.ones(len(jet), dtype=bool)
        keep[np.cumsum(lengths)[is_cut] - 1] = False
        kept = torch.from_numpy(np.flatnonzero(keep)).to(batch.device, non_blocking=True)
        states, targets, jet = states[kept], targets[kept], jet[keep]
    jets = torch.from_numpy(jet).to(batch.device, non_blocking=True)
    return states, targets, batch.jet_weights[jets]
