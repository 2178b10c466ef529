"""Particle Transformer: attention among particles, biased by what each pair of them looks like.

- Particles: batch norm, then three [layer norm → linear → GELU] of widths 128, 512, 128.
- Pairs: ln kT, ln z, ln Δ, ln m² of every pair, itself included, through one small network
  (``layers/pair_network.py``) to one additive attention bias a head, the same in every block.
- 8 particle blocks: LN → attention with bias → heads scaled → LN → residual;
  LN → linear (x4) → GELU → LN → linear → residual scaled by channel.
- 2 class blocks: a learned class token, not normalized as the query, attends to itself and to the
  particles; no bias, no dropout.
- LN of the class token → linear → logits.

2,141,134 parameters with 7 features and 2 classes, 2,143,486 with 17 and 10.

Without the pair bias (``pair_bias: false``) it is the plain Transformer of the paper's ablation:
9,568 parameters fewer, and nothing is computed for pairs but their attention.

Particles of several kinds have an embedding each; everything after it sees all of them.

Our names beside those of the published code: ``head_scale`` is c_attn, ``residual_scale`` is
w_resid, ``class_token`` is cls_token, the norms are pre_attn, post_attn, pre_fc and post_fc.

References
----------
arXiv:2202.03772. What the paper leaves open follows the authors' code, with two choices: batch
norms see real particles and real pairs only, each pair once; and ``head_scale`` multiplies the
heads' channels of the output projection without the transposition of weaver before version 0.5
(the two are equivalent, and ``parttag import`` converts).
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn

from parttag.jets import pair_features
from parttag.jets.batch import JetBatch
from parttag.jets.filled import FilledBatch
from parttag.jets.kind_features import Inputs, particle_inputs
from parttag.jets.kinds import KindLabel, names_by_kind
from parttag.models.layers.kinds import MostParticles, input_network, particle_limits
from parttag.models.layers.masking import pairs_in_full, visible_jets
from parttag.models.layers.pair_network import PairNetwork
from parttag.models.layers.particle_blocks import ClassBlock, ParticleBlock
from parttag.models.layers.particle_embedding import Embedding
from parttag.models.layers.swiglu_blocks import (
    SwiGLUClassBlock,
    SwiGLUParticleBlock,
    make_norm,
)
from parttag.models.layers.trimmer import ParticleTrimmer
from parttag.models.registry import register_model
from parttag.models.tagger import ModelOptions, ParticleEncoder
from parttag.ops.attention import spread_bias
from parttag.ops.filled_layout import FilledLayout
from parttag.ops.kernels import Kernels, choose_path
from parttag.ops.layout import AttentionPath, JetLayout
from parttag.options import Heads

# Of a network as wide as the paper's; parts of half the size or twice as large take as long.
_PARTICLES_IN_CACHE = 4096


class ParticleTransformerOptions(ModelOptions, Heads):
    """Sizes and recipe of a Particle Transformer; the defaults are the paper's."""

    name: Literal["particle_transformer"] = "particle_transformer"
    shared_by_heads: ClassVar[str] = "embed_dims"
    embed_dims: tuple[PositiveInt, ...] = Field(default=(128, 512, 128), min_length=1)
    """Widths of the particle embedding; the last is the width of every block."""
    kind_dims: dict[KindLabel, tuple[PositiveInt, ...]] = Field(default={})
    """Of kinds of particles whose embedding has widths of its own, those before the last."""
    pair_dims: tuple[PositiveInt, ...] = Field(default=(64, 64, 64), min_length=1)
    """Widths of the pair network before its last layer, which is one channel a head wide."""
    pair_bias: bool = True
    """Whether what pairs look like biases the attention; without it, a plain Transformer."""
    num_heads: PositiveInt = 8
    num_layers: PositiveInt = 8
    """Particle blocks."""
    num_class_layers: PositiveInt = 2
    """Class blocks."""
    feedforward_factor: PositiveInt = 4
    """Width of a block's hidden layer, in units of its own width."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Of attention weights, activations and residuals in the particle blocks."""
    block: Literal["normformer", "swiglu"] = "normformer"
    """normformer: the paper's. swiglu: weaver's of version 2, whose hidden layer is gated, without
    the scales and the norms of heads and hidden layer."""
    rms_norm: bool = False
    """RMS norms in place of layer norms after the embedding, and no biases in the blocks, as in
    weaver's version 3 (with dropout 0 and drop_path 0.1); for block: swiglu."""
    drop_path: float = Field(default=0.0, ge=0, lt=1)
    """Share of jets that skip a branch of a block, drawn anew for each; for block: swiglu."""
    trim: bool = True
    """In training, cut the longest jets of a batch to a random length by dropping particles."""
    initialization: Literal["torch", "xavier"] = "torch"
    """torch: torch's defaults, as in the paper's time. xavier: weaver 0.5's, Xavier-uniform linear
    layers without bias, output layers of particle block L divided by √(2L)."""
    max_particles: MostParticles = 128
    """Particles of highest pT that are used, of all or of each kind; null for all."""
    kernels: Kernels = "auto"
    """What computes attention and the pair network: triton, torch, or (auto) Triton's kernels on
    CUDA where they fit. For comparisons: padded is torch's own attention, on jets padded to the
    longest of a batch; reference is the definitions in plain torch, jet by jet."""

    @model_validator(mode="after")
    def _fits_the_block(self) -> "ParticleTransformerOptions":
        if self.block == "normformer" and (self.rms_norm or self.drop_path):
            raise ValueError(
                "rms_norm and drop_path belong to block: swiglu; set it, or leave them"
            )
        return self


@register_model(
    "particle_transformer", paper="arXiv:2202.03772", recipe="toptagging/particle_transformer.yaml"
)
class ParticleTransformer(ParticleEncoder):
    """Particle Transformer; see the module's documentation."""

    backbone: "Backbone"

    options_class = ParticleTransformerOptions
    compiles_parts = True
    takes_kinds = True

    def __init__(
        self,
        options: ParticleTransformerOptions,
        feature_names: tuple[str, ...],
        num_classes: int,
    ) -> None:
        super().__init__()
        self.feature_names = feature_names
        self.max_particles = particle_limits(options.max_particles, feature_names)
        self.kernels = options.kernels
        # Other blocks draw for jets by their lengths on the host.
        self.is_filled_as_alone = options.block == "normformer"
        self.particle_width = options.embed_dims[-1]
        self.head_width = self.particle_width // options.num_heads
        self.backbone = Backbone(options, feature_names)
        self.head = nn.Linear(self.particle_width, num_classes)
        if options.initialization == "xavier":
            _initialize_xavier(self)

    @classmethod
    def remarks(cls, names: Sequence[str]) -> tuple[str, ...]:
        """Return what to say of kinds of one feature."""
        return tuple(
            f"features.{kind} is one feature, of which the layer norm of a Particle Transformer's "
            "embedding leaves nothing; name two or more"
            for kind, own in names_by_kind(names).items()
            if len(own) == 1
        )

    @classmethod
    def needs_momenta(cls, options: ModelOptions) -> bool:
        """Return whether pairs are looked at."""
        assert isinstance(options, ParticleTransformerOptions)
        return options.pair_bias

    @classmethod
    def footnotes(cls, options: ModelOptions) -> tuple[str, ...]:
        """Return whether the pair bias is missing, and whether the blocks are others."""
        assert isinstance(options, ParticleTransformerOptions)
        notes = [] if options.pair_bias else ["the Particle Transformer without the pair bias"]
        if options.block == "swiglu":
            version = 3 if options.rms_norm else 2
            notes.append(f"the blocks of weaver's Particle Transformer of version {version}")
        return tuple(notes)

    def encode(self, batch: JetBatch) -> Float[Tensor, "jets width"]:
        """Return the normalized class token of each jet."""
        if self.backbone.trimmer is not None:
            batch = self.backbone.trimmer(batch)
        if self.training or torch.is_grad_enabled() or batch.device.type != "cpu":
            return self._tokens(batch)
        # Jets of similar length in one part: few groups for attention, with little padding.
        order = np.argsort(-batch.lengths, kind="stable")
        tokens = [self._tokens(part) for part in cache_sized(batch.take(order))]
        return torch.cat(tokens).index_select(0, torch.from_numpy(np.argsort(order)))

    def _tokens(self, batch: JetBatch) -> Float[Tensor, "jets width"]:
        tokens: Tensor = self.backbone(*self._inputs(batch), self._layout(batch))
        return tokens

    def encode_both(
        self, batch: JetBatch
    ) -> tuple[JetBatch, Float[Tensor, "jets width"], Float[Tensor, "particles particle_width"]]:
        """Return the particles that are left after trimming, jets and particles in one pass."""
        if self.backbone.trimmer is not None:
            batch = self.backbone.trimmer(batch)
        layout = self._layout(batch)
        particles = self.backbone.particles(*self._inputs(batch), layout)
        return batch, self.backbone.tokens(particles, layout), particles

    def encode_particles(
        self,
        batch: JetBatch,
        hidden: Bool[np.ndarray, " particles"] | None = None,
        placeholder: Float[Tensor, " particle_width"] | None = None,
    ) -> Float[Tensor, "particles particle_width"]:
        """Return the particles after the last particle block; none is trimmed.

        A placeholder takes the place of a hidden particle's embedding, and no bias that of what
        its pairs look like.
        """
        layout = self._layout(batch)
        if hidden is None:
            return self.backbone.particles(*self._inputs(batch), layout)
        assert placeholder is not None
        visible = visible_jets(batch, hidden)
        rows = torch.from_numpy(np.flatnonzero(~hidden)).to(batch.device, non_blocking=True)
        return self.backbone.hidden_particles(
            *self._inputs(visible), self._layout(visible), layout, rows, placeholder
        )

    def _layout(self, batch: JetBatch) -> JetLayout:
        device, dtype = batch.device, batch.p4.dtype
        path = choose_path(self.kernels, device, dtype, self.head_width, batch.max_length)
        if isinstance(batch, FilledBatch):
            return FilledLayout(batch, path)
        return JetLayout(batch.lengths, device, path=path)

    def trimmer_of_batches(self) -> ParticleTrimmer | None:
        """Return what drops particles of the longest jets in training, if anything does."""
        return self.backbone.trimmer

    def path_if_filled(self, device: torch.device, dtype: torch.dtype) -> AttentionPath | None:
        """Return what takes batches that are filled up: the kernels, or torch's products."""
        fits = self.is_filled_as_alone and self.kernels not in ("padded", "reference")
        if not fits or not isinstance(self.max_particles, int):
            return None
        return choose_path(self.kernels, device, dtype, self.head_width, self.max_particles)

    def _inputs(self, batch: JetBatch) -> tuple[Inputs, Tensor]:
        return particle_inputs(batch, self.feature_names), batch.p4[: batch.num_particles]

    def no_weight_decay(self) -> set[str]:
        """Return the class token, which is not decayed."""
        return {"backbone.class_token"}

    def compile(self, *args: Any, **options: Any) -> None:
        """Compile what looks at one particle at a time, as ``torch.nn.Module.compile`` does.

        What looks at pairs is written by hand for jets of any lengths; traced, it would be compiled
        anew for every batch.
        """
        self.backbone.embedding.compile(*args, **options)
        for block in (*self.backbone.blocks, *self.backbone.class_blocks):
            block.compile(*args, **options)


class Backbone(nn.Module):
    """Particles of a batch to one class token a jet."""

    def __init__(self, options: ParticleTransformerOptions, feature_names: tuple[str, ...]) -> None:
        super().__init__()
        width = options.embed_dims[-1]
        self.trimmer = ParticleTrimmer() if options.trim else None
        self.embedding = input_network(
            feature_names, Embedding, options.embed_dims, options.kind_dims
        )
        self.pair_network = (
            PairNetwork((*options.pair_dims, options.num_heads)) if options.pair_bias else None
        )
        self.blocks = nn.ModuleList(_particle_block(options) for _ in range(options.num_layers))
        self.class_token = nn.Parameter(nn.init.trunc_normal_(torch.empty(width), std=0.02))
        self.class_blocks = nn.ModuleList(
            _class_block(options) for _ in range(options.num_class_layers)
        )
        self.norm = make_norm(width, rms=options.rms_norm)

    def forward(
        self,
        features: Inputs,
        p4: Float[Tensor, "particles 4"],
        layout: JetLayout,
    ) -> Float[Tensor, "jets width"]:
        """Return the normalized class token of each jet."""
        return self.tokens(self.particles(features, p4, layout), layout)

    def tokens(
        self, particles: Float[Tensor, "particles width"], layout: JetLayout
    ) -> Float[Tensor, "jets width"]:
        """Return the normalized class token of each jet, from its particles."""
        tokens = self.class_token.repeat(layout.num_jets, 1)
        for block in self.class_blocks:
            tokens = block(tokens, particles, layout)
        normalized: Tensor = self.norm(tokens)
        return normalized

    def particles(
        self,
        features: Inputs,
        p4: Float[Tensor, "particles 4"],
        layout: JetLayout,
    ) -> Float[Tensor, "particles width"]:
        """Return the particles after the last particle block."""
        which = () if layout.is_particle is None else (layout.is_particle,)
        embedded = self.embedding(features, *which)
        return self._run_blocks(embedded, self.pair_bias(p4, layout), layout)

    def hidden_particles(
        self,
        features: Inputs,
        p4: Float[Tensor, "visible 4"],
        visible: JetLayout,
        layout: JetLayout,
        rows: Int64[Tensor, " visible"],
        placeholder: Float[Tensor, " width"],
    ) -> Float[Tensor, "particles width"]:
        """Return all particles after the last particle block, from the visible ones alone.

        Parameters
        ----------
        features, p4, visible
            Of the visible particles, and where they lie.
        layout
            Where all particles lie.
        rows
            The row of each visible particle among all.
        placeholder
            The embedding of every hidden particle.
        """
        embedded = self.embedding(features)
        everywhere = placeholder.to(embedded.dtype).expand(layout.num_rows, -1)
        particles = everywhere.index_copy(0, rows, embedded)
        bias = self.pair_bias(p4, visible)
        if bias is not None:
            places = pairs_in_full(rows, visible, layout)
            bias = bias.new_zeros(len(bias), layout.num_pairs).index_copy(1, places, bias)
        return self._run_blocks(particles, bias, layout)

    def _run_blocks(
        self, particles: Tensor, pair_bias: Tensor | None, layout: JetLayout
    ) -> Float[Tensor, "particles width"]:
        bias = None if pair_bias is None else spread_bias(pair_bias, layout)
        particles = F.pad(particles, (0, 0, 0, layout.bucket - layout.num_rows))
        for block in self.blocks:
            particles = block(particles, bias, layout)
        if pair_bias is not None and not layout.num_pairs:
            # A rank without particles must still go back through the pair network, whose batch
            # norms wait for every rank.
            particles = particles + 0 * pair_bias.sum()
        return particles[: layout.num_rows]

    def pair_bias(
        self, p4: Float[Tensor, "particles 4"], layout: JetLayout
    ) -> Float[Tensor, "heads pairs"] | None:
        """Return the bias of every pair i ≥ j, packed; nothing in a plain Transformer."""
        if self.pair_network is None:
            return None
        if layout.uses_kernels:
            from parttag.ops.kernels import pair_features as kernel

            features = kernel.pair_features(p4, layout)
        else:
            features = pair_features.pair_features(p4, layout.first, layout.second)
        if layout.path == "reference":
            return self.pair_network.reference(features)
        bias: Tensor = self.pair_network(
            features, uses_kernels=layout.uses_kernels, num_real=layout.num_real_pairs
        )
        return bias


def cache_sized(batch: JetBatch) -> list[JetBatch]:
    """Return a batch in parts that a CPU's cache holds: jets of some thousand particles each."""
    part = np.cumsum(batch.lengths) // _PARTICLES_IN_CACHE
    bounds = [0, *(np.flatnonzero(np.diff(part)) + 1).tolist(), len(batch)]
    return [batch.span(start, stop) for start, stop in pairwise(bounds)]


def _particle_block(options: ParticleTransformerOptions) -> nn.Module:
    sizes = (options.embed_dims[-1], options.num_heads, options.feedforward_factor, options.dropout)
    if options.block == "normformer":
        return ParticleBlock(*sizes)
    return SwiGLUParticleBlock(*sizes, drop_path=options.drop_path, rms_norm=options.rms_norm)


def _class_block(options: ParticleTransformerOptions) -> nn.Module:
    sizes = (options.embed_dims[-1], options.num_heads, options.feedforward_factor, 0.0)
    if options.block == "normformer":
        return ClassBlock(*sizes)
    return SwiGLUClassBlock(*sizes, drop_path=options.drop_path, rms_norm=options.rms_norm)


@torch.no_grad()
def _initialize_xavier(network: ParticleTransformer) -> None:
    """Initialize as weaver 0.5 does: all linear layers but the pair network's."""
    pair_network = network.backbone.pair_network
    pair_layers = set() if pair_network is None else set(pair_network.modules())
    for name, module in network.named_modules():
        if isinstance(module, nn.Linear) and module not in pair_layers:
            # Query, key and value are three matrices in one.
            for matrix in module.weight.chunk(3 if name.endswith(".qkv") else 1):
                nn.init.xavier_uniform_(matrix)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for depth, block in enumerate(network.backbone.blocks, start=1):
        for name in ("out", "feedforward.out"):
            block.get_parameter(f"{name}.weight").div_((2 * depth) ** 0.5)
