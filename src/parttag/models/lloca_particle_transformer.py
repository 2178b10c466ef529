"""LLoCa-ParT: the Particle Transformer with particles in frames of their own, by ``lloca``.

- A network gives each particle a frame of its own, from all of the jet and three reference vectors
  (``parttag.models.layers.local_frames``).
- The seven kinematic features of each particle in its frame, and other features, are the particle's
  input, and momenta in frames of their own what pairs are made of.
- Particle Transformer, in whose blocks queries, keys and values are taken from the frame of their
  particle to one that all share, and the result back: in each of 8 heads 8 scalars and two vectors.
- Class attention → linear → logits.

2,160,081 parameters with the 7 kinematic features and 2 classes. The package's own network, frames
included, gives the same logits with the same weights.

Needs the extra ``equivariant``: pip install 'parttag[equivariant]'.

Jets are padded to the longest of the batch: padding takes part in training in the batch norm of the
package's inputs, as in the published network. Jets without
particles, of which the package makes no numbers, are left out. What is made of pairs gives no
gradient to the frames, as when the published numbers were made; in version 2.0.0 of the package it
does, and is not a number, because the distance of a particle from itself is a root of 0.

References
----------
arXiv:2505.20280, arXiv:2508.14898, and the authors' public configuration. Its published numbers are
those of JetClass; there are none of the top-tagging reference jets.
"""

from typing import Any, Literal

import torch
from jaxtyping import Float
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor, nn

from parttag.jets.batch import JetBatch
from parttag.models.layers.equivariant_packages import import_for
from parttag.models.layers.local_frames import LocalFrameOptions, LocalFrames, frames_footnote
from parttag.models.lloca_transformer import pack, representation, unpack
from parttag.models.registry import register_model
from parttag.models.tagger import ModelOptions, Tagger, padding_footnote
from parttag.ops.layout import JetLayout


class LLoCaParticleTransformerOptions(LocalFrameOptions):
    """Sizes of LLoCa-ParT; the defaults are those of the published network."""

    name: Literal["lloca_particle_transformer"] = "lloca_particle_transformer"
    frame_dropout: float = Field(default=0.0, ge=0, lt=1)
    """After its linear layers."""
    embed_dims: tuple[PositiveInt, ...] = Field(default=(128, 512), min_length=1)
    """Widths of the embedding of particles, before that of the blocks."""
    pair_dims: tuple[PositiveInt, ...] = Field(default=(64, 64, 64), min_length=1)
    """Widths of the network of pairs, before the heads."""
    num_layers: PositiveInt = 8
    """Blocks of particles."""
    num_class_layers: PositiveInt = 2
    """Blocks of class attention."""
    num_heads: PositiveInt = 8
    """Heads of attention."""
    scalars_per_head: NonNegativeInt = 8
    """Numbers of a head that do not change from one frame to another."""
    vectors_per_head: PositiveInt = 2
    """Four-vectors of a head."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Of attention, activations and residuals in the blocks of particles."""


@register_model(
    "lloca_particle_transformer",
    paper="arXiv:2505.20280",
    recipe="toptagging/lloca_particle_transformer.yaml",
)
class LLoCaParticleTransformer(Tagger):
    """LLoCa-ParT; see the module's documentation."""

    backbone: "Backbone"

    options_class = LLoCaParticleTransformerOptions

    def __init__(
        self,
        options: LLoCaParticleTransformerOptions,
        feature_names: tuple[str, ...],
        num_classes: int,
    ) -> None:
        super().__init__()
        self.feature_names = feature_names
        self.max_particles: int | None = options.max_particles
        frames = LocalFrames(options, feature_names)
        width = options.num_heads * (options.scalars_per_head + 4 * options.vectors_per_head)
        dropout = dict.fromkeys(("dropout", "attn_dropout", "activation_dropout"), options.dropout)
        package = import_for(options.name, "lloca.backbone.particletransformer")
        network = package.ParticleTransformer(
            input_dim=frames.num_features,
            attn_reps=representation(options.scalars_per_head, options.vectors_per_head),
            num_classes=num_classes,
            pair_input_dim=4,
            use_pre_activation_pair=False,
            embed_dims=(*options.embed_dims, width),
            pair_embed_dims=options.pair_dims,
            num_heads=options.num_heads,
            num_layers=options.num_layers,
            num_cls_layers=options.num_class_layers,
            block_params=dropout,
            cls_block_params=dict.fromkeys(dropout, 0.0),
            preserve_variance=options.preserve_variance,
        )
        self.head = network.fc[-1]
        network.fc = None
        self.backbone = Backbone(frames, network)

    @classmethod
    def footnotes(cls, options: ModelOptions) -> tuple[str, ...]:
        """Return what of it is not Lorentz invariant, or not as published."""
        assert isinstance(options, LLoCaParticleTransformerOptions)
        return (*frames_footnote(options), padding_footnote(True))

    def no_weight_decay(self) -> set[str]:
        """Return the names of the class token and of the parameters of the frames."""
        frames = (n for n, _ in self.named_parameters() if n.startswith("backbone.frames."))
        return {"backbone.network.cls_token", *frames}

    def encode(self, batch: JetBatch) -> Float[Tensor, "jets width"]:
        """Return the class token of each jet."""
        if self.max_particles is not None:
            batch = batch.leading(self.max_particles)
        encoded: Tensor = self.backbone(batch)
        return encoded


class Backbone(nn.Module):
    """Particles of a batch to the class token of each jet."""

    def __init__(self, frames: LocalFrames, network: Any) -> None:
        super().__init__()
        self.frames = frames
        self.network = network
        self._make_frames = import_for("lloca_particle_transformer", "lloca").Frames

    def forward(self, batch: JetBatch) -> Float[Tensor, "jets width"]:
        """Return the class token of each jet; 0 of a jet without particles."""
        dtype = next(self.network.parameters()).dtype
        if not batch.num_particles:  # none, with a gradient of all parameters
            nothing = sum(p.sum() for p in self.parameters()) * batch.p4.new_zeros(1, dtype=dtype)
            return nothing.expand(len(batch), self.network.embed_dim)
        local = self.frames(batch)
        layout = JetLayout(batch.lengths, batch.device, path="padded")
        # Pairs are made of (px, py, pz, E), without a gradient.
        momenta = local.momenta.roll(-1, dims=-1).detach()
        packed = torch.cat([momenta.to(dtype), pack(local, dtype)], dim=1)
        (padded,), (group,) = layout.spread(packed), layout.groups
        tokens = self._attend(padded, ~group.key_is_padding)
        jets = layout.jet_of_particle.index_select(0, layout.slot_rows[:: group.length])
        return tokens.new_zeros(len(batch), tokens.shape[1]).index_copy(0, jets, tokens)

    def _attend(
        self, padded: Float[Tensor, "jets length packed"], is_real: Tensor
    ) -> Float[Tensor, "jets width"]:
        jets, matrices, features = unpack(padded[..., 4:])
        frames = self._make_frames(matrices=matrices, det=torch.ones_like(matrices[..., 0, 0]))
        inputs = torch.cat([padded[..., :4], features], dim=-1)
        inputs = torch.where(is_real[..., None], inputs, 0).transpose(1, 2)
        tokens: Tensor = self.network(
            inputs[:, 4:], frames, v=inputs[:, :4], mask=is_real[:, None], p_ref=jets[:, 0]
        )
        return tokens
