"""Training of a particle tokenizer: particles come back from their codes as they were."""

from typing import Literal

import torch
from jaxtyping import Float, Int64
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from parttag.errors import InputError
from parttag.jets import kinematics
from parttag.jets.batch import JetBatch
from parttag.models import Tagger
from parttag.models.particle_tokenizer import (
    ParticleTokenizer,
    frame_axis,
    token_errors,
    token_p4,
)
from parttag.ops.jet_sums import mean_over_particles, sum_over_particles
from parttag.training.objectives.objective import BatchSums, Objective, ObjectiveOptions
from parttag.training.objectives.registry import register_objective

Distance = Literal["mse", "l1"]


class TokenizeOptions(ObjectiveOptions):
    """Reconstruction of each particle's token features from its code."""

    name: Literal["tokenize"] = "tokenize"
    reconstruction: Distance = "mse"
    """Squared difference of the features (arXiv:2403.05618), or absolute (arXiv:2401.13537)."""
    commitment: float = Field(default=1.0, ge=0)
    """Weight of the squared difference between a latent and its code. Both papers give the
    quantizer's loss a weight of 10, of which β = 0.9 leaves a tenth to this part."""
    sum_features: bool = False
    """Add up the differences of the three features, as arXiv:2401.13537's code does, instead of
    taking their mean; commitment then counts a third as much beside them."""
    slots: PositiveInt | None = None
    """Divide what the particles of a jet add up to by so many, as the code of arXiv:2403.05618
    does, which takes the mean over 128 slots, padding and all (commitment of padding left out);
    null for the number of its particles."""


@register_objective("tokenize")
class Tokenize(Objective):
    """Sums of the tokenizer's loss, and of how well jets come back.

    Losses and errors are means over the particles of a jet, then over jets. The metrics are

    - ``pt_error``: |ln pT − ln pT of the reconstruction|, about the relative error;
    - ``angle_error``: ΔR between a particle and its reconstruction;
    - ``jet_pt_error``: |1 − pT of the reconstructed jet / pT|, of the sum of the particles;
    - ``jet_mass_error``: |m − m of the reconstructed jet| in GeV;
    - ``codebook_use``: share of the codes that the batch uses;
    - ``perplexity``: exponential of the entropy of the codes in the batch, at most their number.
    """

    options_class = TokenizeOptions
    needs_labels = False
    gives_scores = False
    metric_names: tuple[str, ...] = (
        "pt_error",
        "angle_error",
        "jet_pt_error",
        "jet_mass_error",
        "codebook_use",
        "perplexity",
    )

    def __init__(self, options: TokenizeOptions) -> None:
        self.options = options

    def build_head(self, model: Tagger) -> nn.Module:
        """Return a head that does nothing: the tokenizer's backbone is all of it.

        Raises
        ------
        InputError
            If the model is no tokenizer.
        """
        if not isinstance(model, ParticleTokenizer):
            raise InputError(
                "objective.name: tokenize trains the network particle_tokenizer only; give "
                "model.name=particle_tokenizer"
            )
        return nn.Identity()

    def __call__(self, model: Tagger, batch: JetBatch) -> BatchSums:
        """Return the sums over the jets of a batch."""
        assert isinstance(model, ParticleTokenizer)
        features = model.inputs(batch)
        tokens = model.backbone(features, batch.lengths)
        decoded = tokens.features.to(features.dtype)
        distances = feature_distances(decoded, features, self.options.reconstruction)
        if self.options.sum_features:
            distances = distances * features.shape[1]
        losses = distances + self.options.commitment * tokens.commitment
        with torch.no_grad():
            metrics = self._metrics(model, batch, features, decoded, tokens.codes)
        return BatchSums(
            loss=(batch.jet_weights * self._of_jets(losses, batch)).sum(),
            weight=batch.jet_weights.sum(),
            size=batch.jet_weights.abs().sum(),
            metrics={name: (batch.jet_weights * value).sum() for name, value in metrics.items()},
        )

    def _of_jets(self, losses: Float[Tensor, " particles"], batch: JetBatch) -> Tensor:
        if self.options.slots is None:
            return jet_means(losses, batch)
        return sum_over_particles(losses[:, None], batch)[:, 0] / self.options.slots

    def _metrics(
        self,
        model: ParticleTokenizer,
        batch: JetBatch,
        features: Float[Tensor, "particles 3"],
        decoded: Float[Tensor, "particles 3"],
        codes: Int64[Tensor, " particles"],
    ) -> dict[str, Tensor]:
        """Return each metric, of every jet or of the batch."""
        pt_error, angle_error = token_errors(decoded, features)
        axis = frame_axis(batch, model.backbone.options.frame)
        jets = sum_over_particles(batch.p4[: batch.num_particles], batch)
        decoded_jets = sum_over_particles(token_p4(decoded, axis), batch)
        pt = kinematics.pt(jets).clamp(min=kinematics.TINY)
        num_codes = model.backbone.options.num_codes
        counts = features.new_zeros(num_codes).index_add(0, codes, torch.ones_like(features[:, 0]))
        shares = counts / counts.sum().clamp(min=1)
        return {
            "pt_error": jet_means(pt_error, batch),
            "angle_error": jet_means(angle_error, batch),
            "jet_pt_error": (kinematics.pt(decoded_jets) - kinematics.pt(jets)).abs() / pt,
            "jet_mass_error": (kinematics.mass(decoded_jets) - kinematics.mass(jets)).abs(),
            "codebook_use": (counts > 0).to(counts.dtype).mean(),
            "perplexity": torch.special.entr(shares).sum().exp(),
        }


def jet_means(values: Float[Tensor, " particles"], batch: JetBatch) -> Float[Tensor, " jets"]:
    """Return the mean over the particles of each jet; 0 for a jet without any."""
    return mean_over_particles(values[:, None], batch)[:, 0]


def feature_distances(
    one: Float[Tensor, "particles 3"], other: Float[Tensor, "particles 3"], distance: Distance
) -> Float[Tensor, " particles"]:
    """Return the mean over the token features of their squared or absolute differences."""
    difference = one - other
    return (difference.square() if distance == "mse" else difference.abs()).mean(dim=1)
