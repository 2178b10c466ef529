"""The original Transformer, encoder and decoder, on jets (arXiv:1706.03762).

- Encoder: a linear embedding of the particles' features, times √d; 6 layers, each attention among
  the particles and a feed-forward network, each followed by residual and layer norm (post-LN).
- Decoder: a learned start vector, then whatever it is given to continue, times √d, with sinusoidal
  positions; 6 layers, each causal attention, attention to the encoder's output and a feed-forward
  network, each followed by residual and layer norm.
- Classification: the decoder is given nothing to continue. Its output at the start vector, which is
  the query that looks at the particles, → linear → logits. So the decoder that was trained to
  write particles is the one that classifies, start vector included.

d = 512, 8 heads, feed-forward 2048 with ReLU; 44,138,496 parameters in the two stacks.

What the paper leaves open for jets, and what is done:

- A jet is a set: the encoder has no positions, and logits do not depend on the order of particles.
  The decoder, which writes a list, has them, the start vector at position 0.
- There are no source words, so source and target have no embedding in common; what the decoder
  continues is embedded by the objective that makes it write.
- Dropout is where the paper has it, on what each sub-layer adds and on the embedded inputs, and not
  on attention weights or within the feed-forward network, as in some later code.
- No norm after the last layer (``torch.nn.Transformer`` has one after each stack).
- Initial weights are Xavier-uniform (queries, keys and values each a matrix) and biases 0; those of
  the embeddings are normal, such that what is added to positions is of order one.
"""

from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float, Int64
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn

from parttag.jets.batch import JetBatch
from parttag.jets.kind_features import Inputs, particle_inputs
from parttag.jets.packing import places
from parttag.models.layers.kinds import MostParticles, input_network, particle_limits
from parttag.models.registry import register_model
from parttag.models.tagger import ModelOptions, Tagger
from parttag.ops.attention import attend
from parttag.ops.attention.cross import CrossLayout, cross_attend, make_cross_layout
from parttag.ops.kernels import Kernels, choose_path
from parttag.ops.layout import JetLayout
from parttag.options import Heads

# The longest wavelength of a position is 2π times this.
_LONGEST = 10_000.0


class EncoderDecoderOptions(ModelOptions, Heads):
    """Sizes of an encoder and a decoder; the defaults are the paper's base network."""

    name: Literal["encoder_decoder"] = "encoder_decoder"
    shared_by_heads: ClassVar[str] = "embed_dim"
    embed_dim: PositiveInt = 512
    """Width of both stacks."""
    num_heads: PositiveInt = 8
    num_encoder_layers: PositiveInt = 6
    num_decoder_layers: PositiveInt = 6
    feedforward_dim: PositiveInt = 2048
    """Width of a layer's hidden layer."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Of what each sub-layer adds, and of the embedded inputs."""
    max_particles: MostParticles = 128
    """Particles of highest pT that are used, of all or of each kind; null for all."""
    kernels: Kernels = "auto"
    """What computes the encoder's attention: triton, torch, or (auto) Triton's kernels on CUDA."""

    @model_validator(mode="after")
    def _sines_have_cosines(self) -> "EncoderDecoderOptions":
        if self.embed_dim % 2:
            raise ValueError(
                f"embed_dim, {self.embed_dim}, is not a multiple of 2, for sines and cosines"
            )
        return self


@register_model(
    "encoder_decoder", paper="arXiv:1706.03762", recipe="toptagging/encoder_decoder.yaml"
)
class EncoderDecoder(Tagger):
    """The original Transformer; see the module's documentation."""

    backbone: "Backbone"

    options_class = EncoderDecoderOptions
    takes_kinds = True

    def __init__(
        self, options: EncoderDecoderOptions, feature_names: tuple[str, ...], num_classes: int
    ) -> None:
        super().__init__()
        self.feature_names = feature_names
        self.max_particles = particle_limits(options.max_particles, feature_names)
        self.kernels = options.kernels
        self.head_width = options.embed_dim // options.num_heads
        self.backbone = Backbone(options, feature_names)
        self.head = nn.Linear(options.embed_dim, num_classes)

    @classmethod
    def needs_momenta(cls, options: ModelOptions) -> bool:  # noqa: ARG003
        """Return whether it reads momenta besides the features: it does not."""
        return False

    def encode(self, batch: JetBatch) -> Float[Tensor, "jets width"]:
        """Return the decoder's output at the start vector of each jet."""
        memory = self.read(batch)
        nothing = memory.new_zeros(0, memory.shape[1])
        return self.write(memory, batch.lengths, nothing, np.zeros_like(batch.lengths))

    def read(self, batch: JetBatch) -> Float[Tensor, "particles width"]:
        """Return the encoder's output for every particle of a batch."""
        path = choose_path(
            self.kernels, batch.device, batch.p4.dtype, self.head_width, batch.max_length
        )
        layout = JetLayout(batch.lengths, batch.device, path=path)
        read: Tensor = self.backbone.encoder(particle_inputs(batch, self.feature_names), layout)
        return read

    def write(
        self,
        memory: Float[Tensor, "particles width"],
        memory_lengths: Int64[np.ndarray, " jets"],
        written: Float[Tensor, "written width"],
        written_lengths: Int64[np.ndarray, " jets"],
    ) -> Float[Tensor, "positions width"]:
        """Return the decoder's output at the start vector and after each entry of a jet's list.

        The output at a position depends on the entries up to it, and on nothing after it. Jet b has
        ``written_lengths[b]`` + 1 positions.

        Parameters
        ----------
        memory, memory_lengths
            What ``read`` returned, and the number of particles of each jet in it.
        written, written_lengths
            The embedded entries of all lists, before they are scaled by √d, and how many of them
            each jet has.
        """
        read: Tensor = self.backbone.decoder(memory, memory_lengths, written, written_lengths)
        return read

    def no_weight_decay(self) -> set[str]:
        """Return the start vector, which is not decayed."""
        return {"backbone.decoder.start"}


class Backbone(nn.Module):
    """Both halves."""

    def __init__(self, options: EncoderDecoderOptions, feature_names: tuple[str, ...]) -> None:
        super().__init__()
        self.encoder = Encoder(options, feature_names)
        self.decoder = Decoder(options)


class Encoder(nn.Module):
    """Features of the particles to as many vectors that know of one another."""

    def __init__(self, options: EncoderDecoderOptions, feature_names: tuple[str, ...]) -> None:
        super().__init__()
        self.scale = options.embed_dim**0.5
        self.embedding = input_network(
            feature_names, lambda dims: embedding(*dims), (options.embed_dim,)
        )
        self.dropout = nn.Dropout(options.dropout)
        self.layers = nn.ModuleList(
            EncoderLayer(options) for _ in range(options.num_encoder_layers)
        )

    def forward(self, features: Inputs, layout: JetLayout) -> Float[Tensor, "particles width"]:
        """Return the encoded particles."""
        x: Tensor = self.dropout(self.scale * self.embedding(features))
        for layer in self.layers:
            x = layer(x, layout)
        return x


class Decoder(nn.Module):
    """A list to what follows each of its entries, in the light of an encoder's output."""

    def __init__(self, options: EncoderDecoderOptions) -> None:
        super().__init__()
        width = options.embed_dim
        self.scale = width**0.5
        self.start = nn.Parameter(nn.init.normal_(torch.empty(width), std=width**-0.5))
        self.dropout = nn.Dropout(options.dropout)
        self.layers = nn.ModuleList(
            DecoderLayer(options) for _ in range(options.num_decoder_layers)
        )

    def forward(
        self,
        memory: Float[Tensor, "particles width"],
        memory_lengths: Int64[np.ndarray, " jets"],
        written: Float[Tensor, "written width"],
        written_lengths: Int64[np.ndarray, " jets"],
    ) -> Float[Tensor, "positions width"]:
        """Return the output at each position: the start vector's, then after each entry."""
        device, lengths = memory.device, written_lengths + 1
        own = make_cross_layout(lengths, lengths, device, causal=True)
        other = make_cross_layout(lengths, memory_lengths, device)
        place = torch.from_numpy(places(lengths)).to(device, non_blocking=True)
        rows = torch.where(place == 0, 0, place.ne(0).cumsum(0))  # the start vector, or an entry
        entries = torch.cat([self.start[None], written.to(self.start.dtype)])
        scaled = self.scale * entries.index_select(0, rows)
        x: Tensor = self.dropout(scaled + _positions(place, entries))
        for layer in self.layers:
            x = layer(x, memory, own, other)
        return x


class EncoderLayer(nn.Module):
    """Attention among the particles of a jet, then a feed-forward network."""

    def __init__(self, options: EncoderDecoderOptions) -> None:
        super().__init__()
        width = options.embed_dim
        self.num_heads = options.num_heads
        self.qkv = _projection(width, 3)
        self.out = _projection(width, 1)
        self.attention_norm = nn.LayerNorm(width)
        self.feedforward = _feedforward(options)
        self.feedforward_norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(options.dropout)

    def forward(
        self, x: Float[Tensor, "particles width"], layout: JetLayout
    ) -> Float[Tensor, "particles width"]:
        """Return the particles after this layer."""
        qkv = _heads(self.qkv(x), self.num_heads, 3)
        attended = attend(qkv, None, layout).flatten(1)
        x = self.attention_norm(x + self.dropout(self.out(attended)))
        normed: Tensor = self.feedforward_norm(x + self.dropout(self.feedforward(x)))
        return normed


class DecoderLayer(nn.Module):
    """Causal attention in a list, attention to the particles read, then a feed-forward network."""

    def __init__(self, options: EncoderDecoderOptions) -> None:
        super().__init__()
        width = options.embed_dim
        self.num_heads = options.num_heads
        self.qkv = _projection(width, 3)
        self.out = _projection(width, 1)
        self.attention_norm = nn.LayerNorm(width)
        self.cross_query = _projection(width, 1)
        self.cross_keys = _projection(width, 2)
        self.cross_out = _projection(width, 1)
        self.cross_norm = nn.LayerNorm(width)
        self.feedforward = _feedforward(options)
        self.feedforward_norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(options.dropout)

    def forward(
        self,
        x: Float[Tensor, "positions width"],
        memory: Float[Tensor, "particles width"],
        own: CrossLayout,
        other: CrossLayout,
    ) -> Float[Tensor, "positions width"]:
        """Return the positions after this layer."""
        qkv = _heads(self.qkv(x), self.num_heads, 3)
        attended = cross_attend(qkv[:, 0], qkv[:, 1:], own).flatten(1)
        x = self.attention_norm(x + self.dropout(self.out(attended)))
        query = _heads(self.cross_query(x), self.num_heads, 1)[:, 0]
        keys = _heads(self.cross_keys(memory), self.num_heads, 2)
        attended = cross_attend(query, keys, other).flatten(1)
        x = self.cross_norm(x + self.dropout(self.cross_out(attended)))
        normed: Tensor = self.feedforward_norm(x + self.dropout(self.feedforward(x)))
        return normed


def embedding(width_in: int, width: int) -> nn.Linear:
    """Return a linear layer whose output, times √width, is of order one for inputs of order one."""
    layer = nn.Linear(width_in, width)
    nn.init.normal_(layer.weight, std=(width_in * width) ** -0.5)
    nn.init.zeros_(layer.bias)
    return layer


def _projection(width: int, kinds: int) -> nn.Linear:
    """Return ``kinds`` matrices in one."""
    layer = nn.Linear(width, kinds * width)
    for matrix in layer.weight.detach().chunk(kinds):
        nn.init.xavier_uniform_(matrix)
    nn.init.zeros_(layer.bias)
    return layer


def _feedforward(options: EncoderDecoderOptions) -> nn.Sequential:
    width, hidden = options.embed_dim, options.feedforward_dim
    first, second = nn.Linear(width, hidden), nn.Linear(hidden, width)
    for layer in (first, second):
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)
    return nn.Sequential(first, nn.ReLU(), second)


def _heads(
    x: Float[Tensor, "rows width"], num_heads: int, kinds: int
) -> Float[Tensor, "rows kinds heads head_width"]:
    return x.view(len(x), kinds, num_heads, x.shape[1] // (kinds * num_heads))


def _positions(
    place: Int64[Tensor, " positions"], like: Float[Tensor, "_rows width"]
) -> Float[Tensor, "positions width"]:
    """Return sines in even columns and cosines in odd ones, of wavelengths from 2π to 2π·10,000."""
    width = like.shape[1]
    exponents = torch.arange(0, width, 2, device=like.device, dtype=like.dtype) / width
    angles = place[:, None] * _LONGEST**-exponents
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)
