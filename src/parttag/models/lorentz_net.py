r"""LorentzNet: messages between all particles of a jet, weighted by Minkowski products.

- Nodes: the jet's particles and the two beams, (0, 0, ±1) with mass 1 GeV. Each has scalars h and a
  four-vector x, at first its momentum.
- Input scalars: ψ(mass) in one of two places, for particles and for beams; → linear, 72 wide. Or,
  with ``scalars: features``, the features of each particle, and no beams.
- 6 blocks, each on all ordered pairs i ≠ j of a jet, with ψ(v) = sign(v) ln(1 + \|v\|):

  - message: hᵢ, hⱼ, ψ((xᵢ − xⱼ)²), ψ(xᵢ·xⱼ) → linear → batch norm → ReLU → linear → ReLU, times a
    gate, linear → sigmoid;
  - xᵢ ← xᵢ + c · mean over j of (xᵢ − xⱼ) times [message → linear → ReLU → linear → one number];
    not in the last block;
  - hᵢ ← hᵢ + [hᵢ, sum of messages, input scalars → linear → batch norm → ReLU → linear].

- The mean of h over the nodes → linear → ReLU → dropout → linear → logits.

224,072 parameters with 2 classes; 227,096 with the eight identity classes that the published
network for quarks and gluons reads.

Our names beside those of the published code: ``message`` is phi_e, ``gate`` phi_m, ``step`` phi_x,
``update`` phi_h, ``coordinate_step`` c_weight.

The choices that are ours
-------------------------
Only real nodes and their pairs are seen, by batch norms and mean too; the published code lets its
padding into the batch norm of phi_h, in training, and divides the mean by the length to which the
batch is padded, which makes a jet's logits depend on its company. And nothing is clamped: the
published code cuts each term of the mean over j to ±100 GeV in each component. That is reached by
2.4 % of the terms of its published weights, and breaks the symmetry: a boost by γ = 5 moves a jet's
score by up to 0.64.

``reference`` clamps as the published code does; with the published weights it is what comes nearest
to the published scores. ``reference_padding`` besides divides the mean by ``reference_length``, as
if every batch were padded to so many nodes.

References
----------
arXiv:2201.08187; where the paper and the authors' code differ (means over j, differences in place
of xⱼ), this follows the code, with which the published numbers were made. Its published weights are
ours under other names.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from pydantic import Field, PositiveFloat, PositiveInt, model_validator
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from parttag.jets.batch import JetBatch
from parttag.jets.features import particle_features
from parttag.models.layers.batch_norm import PackedBatchNorm
from parttag.models.layers.beam_particles import add_beams, make_beams, minkowski
from parttag.models.registry import register_model
from parttag.models.tagger import ModelOptions, Tagger, padding_footnote
from parttag.ops.collectives import sum_over_ranks
from parttag.ops.jet_sums import mean_over_rows, sum_over_rows
from parttag.ops.layout import Group, JetLayout

# Pairs in a chunk: 72 channels of float32 then take 2.4 MB.
_CHUNK = 8192
CLAMP = 100.0
"""Largest component of a step in the published code, in GeV."""


class LorentzNetOptions(ModelOptions):
    """Sizes of LorentzNet; the defaults are those of the published top tagging.

    The network makes its own inputs from four-momenta: ``features`` must be left out.
    """

    name: Literal["lorentz_net"] = "lorentz_net"
    scalars: Literal["mass", "features"] = "mass"
    """Input scalars of the nodes. mass: as published for top tagging, with both beams as nodes.
    features: those of ``features``, without beams, as published for quarks and gluons."""
    hidden_dim: PositiveInt = 72
    """Width of all layers."""
    num_layers: PositiveInt = 6
    """Blocks."""
    coordinate_step: PositiveFloat = 0.005
    """Factor c of the steps of the four-vectors."""
    dropout: float = Field(default=0.2, ge=0, lt=1)
    """Of the hidden layer of the head."""
    max_particles: PositiveInt | None = None
    """Particles of highest pT that are used; null for all."""
    reference: bool = False
    """Clamp the steps of the four-vectors as the published code does, which is not invariant."""
    reference_padding: bool = False
    """Divide the mean over the nodes by ``reference_length``, as the padding of the published code
    does in a batch whose largest jet has so many."""
    reference_length: PositiveInt = 202
    """Nodes to which ``reference_padding`` pads: 200 particles and 2 beams."""

    @model_validator(mode="after")
    def _padding_has_room(self) -> "LorentzNetOptions":
        most = self.reference_length - self.num_beams
        if self.reference_padding and self.max_particles is not None and self.max_particles > most:
            raise ValueError(
                f"with reference_padding, max_particles must be at most {most}: reference_length "
                f"is {self.reference_length}, {self.num_beams} of them beams"
            )
        return self

    @property
    def num_beams(self) -> int:
        """Nodes of a jet that are beams."""
        return 2 if self.scalars == "mass" else 0


@register_model("lorentz_net", paper="arXiv:2201.08187", recipe="toptagging/lorentz_net.yaml")
class LorentzNet(Tagger):
    """LorentzNet; see the module's documentation."""

    backbone: "Backbone"

    options_class = LorentzNetOptions
    reads_features = False

    def __init__(
        self, options: LorentzNetOptions, feature_names: tuple[str, ...], num_classes: int
    ) -> None:
        super().__init__()
        width = options.hidden_dim
        self.feature_names = feature_names
        self.max_particles: int | None = options.max_particles
        if options.reference_padding and options.max_particles is None:
            self.max_particles = options.reference_length - options.num_beams
        self.backbone = Backbone(options, feature_names)
        self.head = nn.Sequential(
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Dropout(options.dropout),
            nn.Linear(width, num_classes),
        )

    @classmethod
    def takes_features(cls, options: ModelOptions) -> bool:
        """Return whether the scalars are features."""
        assert isinstance(options, LorentzNetOptions)
        return options.scalars == "features"

    @classmethod
    def footnotes(cls, options: ModelOptions) -> tuple[str, ...]:
        """Return whether the steps are clamped, and padding takes part."""
        assert isinstance(options, LorentzNetOptions)
        clamp = (
            "steps of four-vectors clamped at ±100 GeV, as in the published network, which is "
            "therefore not Lorentz invariant"
            if options.reference
            else "steps of four-vectors not clamped (in the published network they are)"
        )
        return (clamp, padding_footnote(options.reference_padding))

    def encode(self, batch: JetBatch) -> Float[Tensor, "jets width"]:
        """Return the mean of the scalars over the nodes of each jet."""
        if self.max_particles is not None:
            batch = batch.leading(self.max_particles)
        mean: Tensor = self.backbone(batch)
        return mean


class Backbone(nn.Module):
    """Particles of a batch to the mean scalars of each jet."""

    beams: Tensor

    def __init__(self, options: LorentzNetOptions, feature_names: tuple[str, ...]) -> None:
        super().__init__()
        self.feature_names = feature_names if options.scalars == "features" else None
        self.length = options.reference_length if options.reference_padding else None
        self.register_buffer("beams", make_beams()[: options.num_beams], persistent=False)
        num_scalars = 2 if self.feature_names is None else len(feature_names)
        self.embedding = nn.Linear(num_scalars, options.hidden_dim)
        self.blocks = nn.ModuleList(
            Block(options, num_scalars, is_last=number == options.num_layers)
            for number in range(1, options.num_layers + 1)
        )

    def forward(self, batch: JetBatch) -> Float[Tensor, "jets width"]:
        """Return the mean of the scalars over the nodes of each jet."""
        vectors, is_beam = add_beams(batch, self.beams)
        layout = JetLayout(batch.lengths + len(self.beams), batch.device)
        inputs = self._scalars(batch, vectors, is_beam)
        hidden = self.embedding(inputs)
        for block in self.blocks:
            hidden, vectors = block(hidden, vectors, inputs, layout)
        if self.length is not None:
            return sum_over_rows(hidden, layout) / self.length
        return mean_over_rows(hidden, layout)

    def _scalars(
        self, batch: JetBatch, vectors: Tensor, is_beam: Tensor
    ) -> Float[Tensor, "nodes scalars"]:
        if self.feature_names is not None:
            return particle_features(batch, self.feature_names)[: batch.num_particles]
        mass = psi(minkowski(vectors, vectors).abs().sqrt())[:, None]
        return torch.where(torch.stack([~is_beam, is_beam], dim=1), mass, 0)


class Pairs(NamedTuple):
    """What a block reads of the ordered pairs (i, j) in a group of jets."""

    is_pair: Bool[Tensor, "jets length length"]
    """False where i = j and where one of the two is padding."""
    invariants: Float[Tensor, "jets length length 2"]
    """ψ((xᵢ − xⱼ)²) and ψ(xᵢ·xⱼ); 0 where there is no pair."""


class Block(nn.Module):
    """Lorentz group equivariant block: messages, then new vectors and scalars."""

    def __init__(self, options: LorentzNetOptions, num_scalars: int, *, is_last: bool) -> None:
        super().__init__()
        width = options.hidden_dim
        self.coordinate_step = options.coordinate_step
        self.is_clamped = options.reference
        self.first_linear = nn.Linear(2 * width + 2, width, bias=False)
        self.pair_norm = PackedBatchNorm(width)
        self.message = nn.Linear(width, width)
        self.gate = nn.Linear(width, 1)
        self.step: nn.Sequential | None = None
        if not is_last:
            last = nn.Linear(width, 1, bias=False)
            nn.init.xavier_uniform_(last.weight, gain=0.001)
            self.step = nn.Sequential(nn.Linear(width, width), nn.ReLU(), last)
        self.update = nn.Sequential(
            nn.Linear(2 * width + num_scalars, width),
            PackedBatchNorm(width),
            nn.ReLU(),
            nn.Linear(width, width),
        )

    def forward(
        self,
        hidden: Float[Tensor, "nodes width"],
        vectors: Float[Tensor, "nodes 4"],
        inputs: Float[Tensor, "nodes scalars"],
        layout: JetLayout,
    ) -> tuple[Float[Tensor, "nodes width"], Float[Tensor, "nodes 4"]]:
        """Return the new scalars and vectors."""
        slot_vectors = vectors[layout.slot_rows]
        with torch.autocast(hidden.device.type, enabled=False):
            pairs = [_make_pairs(slot_vectors, group) for group in layout.groups]
            terms = self._normalized_terms(hidden.to(vectors.dtype), pairs, layout)
        receiver, sender = (term[layout.slot_rows] for term in terms[:2])
        summed, moved = [hidden.new_zeros(0, hidden.shape[1])], [vectors.new_zeros(0, 4)]
        chunks = _chunks(pairs, vectors)
        # Split and not sliced: the gradients of many slices would each be as large as all of them.
        sizes = [chunk.is_pair[:, 0].numel() for chunk in chunks]
        parts = (v.split(sizes) for v in (receiver, sender, slot_vectors))
        for chunk, *values in zip(chunks, *parts, strict=True):
            nodes = [v.unflatten(0, chunk.is_pair.shape[:2]) for v in values]
            messages, steps = self._checkpointed(*nodes, terms[2], *chunk)
            summed.append(messages.flatten(0, 1))
            moved.append(steps.flatten(0, 1))
        messages, steps = (torch.cat(parts)[layout.row_slots] for parts in (summed, moved))
        # At least one: without beams a particle may be alone.
        num_others = (_lengths(layout, vectors) - 1).clamp(min=1)[layout.jet_of_particle, None]
        vectors = vectors + self.coordinate_step * steps / num_others
        hidden = hidden + self.update(torch.cat([hidden, messages, inputs], dim=1))
        return hidden, vectors

    def _normalized_terms(
        self, hidden: Tensor, pairs: Sequence[Pairs], layout: JetLayout
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return what nodes i and j and their invariants give to the first layer, normalized.

        Being linear, the layer is applied once a node, not once a pair; and its batch norm needs
        no pair of it either, only sums over nodes.
        """
        width = hidden.shape[1]
        receiver, sender, of_pair = self.first_linear.weight.split([width, width, 2], dim=1)
        of_receiver, of_sender, of_pair = hidden @ receiver.t(), hidden @ sender.t(), of_pair.t()
        norm = self.pair_norm
        if norm.training:
            count, mean, var = pair_moments(of_receiver, of_sender, of_pair, pairs, layout)
            norm.update(mean.detach(), var.detach(), count)
        else:
            mean, var = norm.running_mean, norm.running_var
        scale, shift = norm.affine(mean, var)
        return of_receiver * scale + shift, of_sender * scale, of_pair * scale

    def _checkpointed(self, *arguments: Tensor) -> tuple[Tensor, Tensor]:
        """Return the messages; in training they are computed again on the way back."""
        if not torch.is_grad_enabled():
            return self._messages(*arguments)
        outputs: tuple[Tensor, Tensor] = checkpoint(
            self._messages, *arguments, use_reentrant=False, preserve_rng_state=False
        )
        return outputs

    def _messages(
        self,
        receiver: Float[Tensor, "jets length width"],
        sender: Float[Tensor, "jets length width"],
        vectors: Float[Tensor, "jets length 4"],
        of_pair: Float[Tensor, "2 width"],
        is_pair: Bool[Tensor, "jets length length"],
        invariants: Float[Tensor, "jets length length 2"],
    ) -> tuple[Float[Tensor, "jets length width"], Float[Tensor, "jets length 4"]]:
        """Return the sum of the messages to each node, and of the steps of its vector."""
        with torch.autocast(receiver.device.type, enabled=False):
            first = (invariants @ of_pair).add_(receiver[:, :, None]).add_(sender[:, None]).relu_()
        messages = self.message(first).relu_()
        gate = torch.where(is_pair[..., None], self.gate(messages).sigmoid(), 0)
        messages = messages * gate
        summed = messages.sum(dim=2, dtype=receiver.dtype)
        if self.step is None:
            return summed, torch.zeros_like(vectors)
        weights = torch.where(is_pair, self.step(messages)[..., 0].to(vectors.dtype), 0)
        if self.is_clamped:
            terms = (vectors[:, :, None] - vectors[:, None]) * weights[..., None]
            return summed, terms.clamp(-CLAMP, CLAMP).sum(dim=2)
        steps = vectors * weights.sum(dim=2, keepdim=True) - weights @ vectors
        return summed, steps


def pair_moments(
    of_receiver: Float[Tensor, "nodes width"],
    of_sender: Float[Tensor, "nodes width"],
    of_pair: Float[Tensor, "2 width"],
    pairs: Sequence[Pairs],
    layout: JetLayout,
) -> tuple[Float[Tensor, "1"], Float[Tensor, " width"], Float[Tensor, " width"]]:
    """Return count, mean and variance of uᵢⱼ = aᵢ + bⱼ + rᵢⱼ·w over all pairs i ≠ j of all ranks.

    Without any uᵢⱼ: with a, b and r less their means, the sum of their squares is
    Σᵢ (nᵢ − 1)(aᵢ² + bᵢ²) + w·(Σ r rᵀ)·w + 2 Σᵢ (aᵢ + bᵢ)(Σⱼ rᵢⱼ)·w + 2 Σ_jets (Σᵢ aᵢ)(Σⱼ bⱼ)
    − 2 Σᵢ aᵢ bᵢ, as r is symmetric. Sums are taken in float64.
    """
    a, b, w = of_receiver.double(), of_sender.double(), of_pair.double()
    jet = layout.jet_of_particle
    degree = (_lengths(layout, a) - 1)[jet]
    r = [a.new_zeros(0, 2), *(p.invariants.sum(dim=2).flatten(0, 1).double() for p in pairs)]
    r_of_node = torch.cat(r)[layout.row_slots]
    flat = torch.cat([a.new_zeros(0, 2), *(p.invariants.flatten(0, 2).double() for p in pairs)])

    first = torch.cat([degree.sum()[None], degree @ a, degree @ b, r_of_node.sum(dim=0)])
    total = sum_over_ranks(first)
    count = total[:1].clamp(min=1)
    mean_a, mean_b, mean_r = (total[1:] / count).split([a.shape[1], b.shape[1], 2])
    a, b, r_of_node = a - mean_a, b - mean_b, r_of_node - degree[:, None] * mean_r
    sum_r, num_pairs = first[-2:], first[0]
    r_square = (
        flat.t() @ flat
        - torch.outer(sum_r, mean_r)
        - torch.outer(mean_r, sum_r)
        + num_pairs * torch.outer(mean_r, mean_r)
    )
    squares = (
        degree @ (a.square() + b.square())
        + (w * (r_square @ w)).sum(dim=0)
        + 2 * ((a + b) * (r_of_node @ w)).sum(dim=0)
        + 2 * (sum_over_rows(a, layout) * sum_over_rows(b, layout)).sum(dim=0)
        - 2 * (a * b).sum(dim=0)
    )
    mean = mean_a + mean_b + mean_r @ w
    var = sum_over_ranks(squares) / count
    dtype = of_receiver.dtype
    return count.to(dtype), mean.to(dtype), var.to(dtype)


def _make_pairs(slot_vectors: Float[Tensor, "slots 4"], group: Group) -> Pairs:
    vectors = group.of(slot_vectors)
    is_real = ~group.key_is_padding
    is_other = ~torch.eye(group.length, dtype=torch.bool, device=vectors.device)
    is_pair = is_real[:, :, None] & is_real[:, None] & is_other
    receiver, sender = vectors[:, :, None], vectors[:, None]
    difference = receiver - sender
    values = [psi(minkowski(difference, difference)), psi(minkowski(receiver, sender))]
    return Pairs(is_pair, torch.where(is_pair[..., None], torch.stack(values, dim=-1), 0))


def _chunks(pairs: Sequence[Pairs], vectors: Float[Tensor, "nodes 4"]) -> list[Pairs]:
    """Return the pairs of some jets at a time, in the order of their slots."""
    if not pairs:  # a rank without jets must still have gradients of all parameters
        nothing = vectors[:, :2].view(0, 1, 1, 2)
        return [Pairs(nothing[..., 0] > 0, nothing)]
    chunks: list[Pairs] = []
    for group in pairs:
        num_jets = max(1, _CHUNK // group.is_pair[0].numel())
        chunks += map(Pairs, *(values.split(num_jets) for values in group))
    return chunks


def _lengths(layout: JetLayout, like: Tensor) -> Float[Tensor, " jets"]:
    """Return the number of nodes of each jet, in the dtype and on the device of a tensor."""
    return torch.from_numpy(layout.lengths).to(like.device, like.dtype, non_blocking=True)


def psi(value: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return sign(v) ln(1 + |v|), which tames products that span ten orders of magnitude."""
    return value.sign() * value.abs().log1p()
