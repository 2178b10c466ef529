"""LLoCa-Transformer: a Transformer of particles in frames of their own, by the package ``lloca``.

- A network gives each particle a frame of its own, from all of the jet and three reference vectors
  (``parttag.models.layers.local_frames``).
- The seven kinematic features of each particle in its frame, and other features → linear, 128
  numbers: in each of 8 heads 12 scalars and one vector.
- 12 blocks: norm, attention, in which queries, keys and values are taken from the frame of their
  particle to one that all share, and the result back; norm, linear → GELU → linear.
- The mean over the particles → linear → logits.

1,603,845 parameters with the 7 kinematic features and 2 classes. The package's own network, frames
included, gives the same logits with the same weights.

Needs the extra ``equivariant``: pip install 'parttag[equivariant]'.

The choices that are ours
-------------------------
Jets of similar length are padded to the longest of them and attend among themselves. The published
table counts 2.0M parameters, those of the authors' configuration for JetClass (``num_layers: 10``,
``mlp_ratio: 4``, ``scalars_per_head: 8``, ``vectors_per_head: 2``); their instructions for top
tagging name the sizes that are the default here.

References
----------
arXiv:2505.20280, arXiv:2508.14898, and the authors' public configuration of top tagging.
"""

from typing import Any, Literal

import torch
from jaxtyping import Float
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor, nn

from parttag.jets.batch import JetBatch
from parttag.models.layers.equivariant_packages import import_for
from parttag.models.layers.local_frames import (
    LocalFrameOptions,
    LocalFrames,
    LocalParticles,
    frames_footnote,
)
from parttag.models.registry import register_model
from parttag.models.tagger import ModelOptions, Tagger
from parttag.ops.jet_sums import mean_over_rows
from parttag.ops.layout import JetLayout


class LLoCaTransformerOptions(LocalFrameOptions):
    """Sizes of the LLoCa-Transformer; the defaults are those of the published top tagging."""

    name: Literal["lloca_transformer"] = "lloca_transformer"
    num_layers: PositiveInt = 12
    """Blocks."""
    num_heads: PositiveInt = 8
    """Heads of attention."""
    scalars_per_head: NonNegativeInt = 12
    """Numbers of a head that do not change from one frame to another."""
    vectors_per_head: PositiveInt = 1
    """Four-vectors of a head."""
    mlp_ratio: PositiveInt = 2
    """Width of the hidden layer of a block, in widths of a particle."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """After attention and in the networks of particles."""


@register_model(
    "lloca_transformer", paper="arXiv:2508.14898", recipe="toptagging/lloca_transformer.yaml"
)
class LLoCaTransformer(Tagger):
    """LLoCa-Transformer; see the module's documentation."""

    backbone: "Backbone"

    options_class = LLoCaTransformerOptions

    def __init__(
        self, options: LLoCaTransformerOptions, feature_names: tuple[str, ...], num_classes: int
    ) -> None:
        super().__init__()
        self.feature_names = feature_names
        self.max_particles: int | None = options.max_particles
        frames = LocalFrames(options, feature_names)
        package = import_for("lloca_transformer", "lloca.backbone.transformer")
        network = package.Transformer(
            in_channels=frames.num_features,
            attn_reps=representation(options.scalars_per_head, options.vectors_per_head),
            out_channels=num_classes,
            num_blocks=options.num_layers,
            num_heads=options.num_heads,
            mlp_factor=options.mlp_ratio,
            dropout_prob=options.dropout or None,
            preserve_variance=options.preserve_variance,
        )
        self.head = network.linear_out
        network.linear_out = nn.Identity()
        self.backbone = Backbone(frames, network)

    @classmethod
    def footnotes(cls, options: ModelOptions) -> tuple[str, ...]:
        """Return what of it is not Lorentz invariant, or not as published."""
        assert isinstance(options, LLoCaTransformerOptions)
        return frames_footnote(options)

    def no_weight_decay(self) -> set[str]:
        """Return the names of the parameters of the frames."""
        return {name for name, _ in self.named_parameters() if name.startswith("backbone.frames.")}

    def encode(self, batch: JetBatch) -> Float[Tensor, "jets width"]:
        """Return the mean over the particles of each jet."""
        if self.max_particles is not None:
            batch = batch.leading(self.max_particles)
        encoded: Tensor = self.backbone(batch)
        return encoded


class Backbone(nn.Module):
    """Particles of a batch to their mean."""

    def __init__(self, frames: LocalFrames, network: Any) -> None:
        super().__init__()
        self.frames = frames
        self.network = network
        self._make_frames = import_for("lloca_transformer", "lloca").Frames

    def forward(self, batch: JetBatch) -> Float[Tensor, "jets width"]:
        """Return the mean over the particles of each jet."""
        if not batch.num_particles:  # none, with a gradient of all parameters
            nothing = sum(p.sum() for p in self.parameters()) * batch.p4.new_zeros(1)
            return nothing.expand(len(batch), self.network.hidden_channels)
        local, layout = self.frames(batch), JetLayout(batch.lengths, batch.device)
        packed = pack(local, next(self.network.parameters()).dtype)
        outputs = [
            self._attend(part, ~group.key_is_padding[:, None, None])
            for part, group in zip(layout.spread(packed), layout.groups, strict=True)
        ]
        mean = mean_over_rows(layout.gather(outputs), layout)
        return mean.to(packed.dtype)

    def _attend(
        self, packed: Float[Tensor, "jets length packed"], is_real: Tensor
    ) -> Float[Tensor, "jets length width"]:
        jets, matrices, features = unpack(packed)
        frames = self._make_frames(matrices=matrices, det=torch.ones_like(matrices[..., 0, 0]))
        output: Tensor = self.network(features, frames, p_ref=jets[:, 0], attn_mask=is_real)
        return output


def representation(num_scalars: int, num_vectors: int) -> str:
    """Return the package's name of so many scalars and four-vectors."""
    return "+".join([*([f"{num_scalars}x0n"] if num_scalars else []), f"{num_vectors}x1n"])


def pack(local: LocalParticles, dtype: torch.dtype) -> Float[Tensor, "particles packed"]:
    """Return the jet, the frame and the features of each particle."""
    parts = [local.jets, local.matrices.flatten(1), local.features]
    return torch.cat(parts, dim=1).to(dtype)


def unpack(
    packed: Float[Tensor, "*shape packed"],
) -> tuple[
    Float[Tensor, "*shape 4"], Float[Tensor, "*shape 4 4"], Float[Tensor, "*shape features"]
]:
    """Return the parts of what ``pack`` made."""
    return packed[..., :4], packed[..., 4:20].unflatten(-1, (4, 4)), packed[..., 20:]
