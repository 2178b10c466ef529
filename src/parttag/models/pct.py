"""Point Cloud Transformer: nearest neighbours, then attention among the particles of a jet.

PCT (``embedding: edges``, 171,202 parameters with 7 features and 2 classes):

- two edge convolutions (``layers/edge_network.py``) with the 20 nearest neighbours, the particle
  itself among them: in (Δη, Δφ) with widths 128, 128, then in the first one's output with widths
  64, 64;
- three layers of offset attention, width 64, one head: queries and keys of width 16 and values,
  each linear without bias → BN; softmax of q kᵀ (not divided by √16) over the keys, then divided by
  its sum over the *queries*; particle n takes the values m with the weight of query m and key n
  (the transpose of usual attention); x + ReLU(BN(linear(x − attended)));
- the three outputs and the embedding, side by side → linear 256 → BN → ReLU → average over the jet;
- head: linear 128 → BN → ReLU → dropout 0.5 → logits.

Simple PCT (``embedding: particles``, 55,810): linear 128 and 64, each with BN and ReLU, in place of
the edge convolutions; two attention layers; their outputs → linear 128 → ReLU, without BN; head of
64.

Inputs are the features as they are, angles first: neither standardized nor clipped, Δη without a
sign, and relative to the sum of the (at most 100) particles that are used. Initial weights are
Xavier-uniform, biases 0. Batch norms have ε = 1e-3 and a momentum that begins at 0.5 and is halved
every 5 million jets, down to 0.01; those of queries and keys keep 0.1.

Padding: the published code pads every jet to 100 particles with zeros. The padded ones are kept out
of the attention, but are neighbours (at distance² 10,000 of real particles, 0 of one another),
enter the batch norms, and are averaged over. By default nothing of a jet depends on padding here:
batch norms and the average see the real particles, and neighbours that are missing in a jet of
fewer than 20 are zero vectors. ``reference_padding`` pads as published.

References
----------
arXiv:2102.05073. What the paper leaves open follows the authors' code; there a particle of exactly
1 GeV of pT (ln pT = 0) counts as padding, here it does not.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from parttag.jets import kinematics
from parttag.jets.batch import JetBatch
from parttag.jets.features import FeatureContext
from parttag.jets.packing import places
from parttag.models.layers.batch_norm import PackedBatchNorm
from parttag.models.layers.edge_network import EdgeNetwork
from parttag.models.registry import register_model
from parttag.models.tagger import ModelOptions, Tagger, padding_footnote
from parttag.ops.collectives import num_ranks
from parttag.ops.jet_sums import mean_over_rows, sum_over_particles
from parttag.ops.knn import nearest_neighbours
from parttag.ops.layout import JetLayout

_ANGLES = ("delta_eta", "delta_phi")
_EPS = 1e-3
# The square of it is what the published code adds to the squared distance of a padded particle.
_PADDING_SHIFT = 100.0


class PCTOptions(ModelOptions):
    """Sizes of a Point Cloud Transformer; the defaults are those of PCT, not of simple PCT."""

    name: Literal["pct"] = "pct"
    embedding: Literal["edges", "particles"] = "edges"
    """edges: two edge convolutions, as in PCT; particles: two linear layers, as in simple PCT."""
    embed_dims: tuple[PositiveInt, PositiveInt] = (128, 64)
    """Widths of the two; the last is the width of the attention."""
    num_neighbours: PositiveInt = 20
    """Neighbours of a particle in an edge convolution, the particle itself among them."""
    num_layers: PositiveInt = 3
    """Attention layers."""
    particle_dim: PositiveInt = 256
    """Width of the particles before the average."""
    jet_dim: PositiveInt = 128
    """Width of the head's hidden layer."""
    dropout: float = Field(default=0.5, ge=0, lt=1)
    """Before the logits."""
    max_particles: PositiveInt = 100
    """Particles of highest pT that are used, and the length that ``reference_padding`` pads to."""
    reference_padding: bool = False
    """Let padding leak into neighbours, batch norms and the average, as in the published code."""


@dataclass(frozen=True, eq=False)
class _Rows:
    """What the layers work on: the particles, or all slots of jets padded to one length."""

    layout: JetLayout
    is_real: tuple[Bool[Tensor, "_jets _length"], ...]
    """For each slot of each group, whether a particle is there."""
    shift: Float[Tensor, "rows 1"] | None = None
    """One more coordinate of the points, in which padded ones are far away."""


@register_model("pct", paper="arXiv:2102.05073", recipe="toptagging/pct.yaml")
class PCT(Tagger):
    """Point Cloud Transformer; see the module's documentation."""

    backbone: "Backbone"

    options_class = PCTOptions

    def __init__(
        self, options: PCTOptions, feature_names: tuple[str, ...], num_classes: int
    ) -> None:
        super().__init__()
        self.feature_names = feature_names
        self.max_particles = options.max_particles
        self._length = options.max_particles
        self._is_padded = options.reference_padding
        self.backbone = Backbone(options, len(feature_names))
        self.head = nn.Sequential(
            nn.Linear(options.particle_dim, options.jet_dim),
            PackedBatchNorm(options.jet_dim, _EPS),
            nn.ReLU(),
            nn.Dropout(options.dropout),
            nn.Linear(options.jet_dim, num_classes),
        )
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    @classmethod
    def footnotes(cls, options: ModelOptions) -> tuple[str, ...]:
        """Return whether padding takes part."""
        assert isinstance(options, PCTOptions)
        return (padding_footnote(options.reference_padding),)

    def encode(self, batch: JetBatch) -> Float[Tensor, "jets width"]:
        """Return the average over the particles of each jet."""
        if self.training:
            self._set_momentum(len(batch))
        batch = _used(batch, self._length)
        # The angles come first; the order of the others is that of the configuration.
        names = sorted(self.feature_names, key=lambda name: name not in _ANGLES)
        particles = FeatureContext(batch, raw=True)
        features, angles = particles.table(names), particles.table(_ANGLES)
        if self._is_padded:
            rows, slots = _all_slots(batch, self._length)
            features, angles = (
                values.new_zeros(rows.layout.num_rows, values.shape[1]).index_copy(0, slots, values)
                for values in (features, angles)
            )
        else:
            rows = _real_rows(batch)
        jets: Tensor = self.backbone(features, angles, rows)
        return jets

    def _set_momentum(self, num_jets: int) -> None:
        momentum = self.backbone.momentum(num_jets * num_ranks())
        for name, module in self.named_modules():
            if isinstance(module, PackedBatchNorm) and not name.endswith((".query.1", ".key.1")):
                module.momentum = momentum


class Backbone(nn.Module):
    """Rows of a batch to the average of each jet."""

    def __init__(self, options: PCTOptions, num_features: int) -> None:
        super().__init__()
        hidden, width = options.embed_dims
        self.momentum = MomentumSchedule()
        self.num_neighbours = options.num_neighbours
        self.is_simple = options.embedding == "particles"
        if self.is_simple:
            self.embedding = nn.ModuleList(
                [_dense(num_features, hidden, nn.ReLU()), _dense(hidden, width, nn.ReLU())]
            )
        else:
            self.embedding = nn.ModuleList(
                [
                    EdgeNetwork(num_features, (hidden, hidden), bias=True, eps=_EPS),
                    EdgeNetwork(hidden, (width, width), bias=True, eps=_EPS),
                ]
            )
        self.attention = nn.ModuleList(OffsetAttention(width) for _ in range(options.num_layers))
        if self.is_simple:
            width_in = width * options.num_layers
            self.output = nn.Sequential(nn.Linear(width_in, options.particle_dim), nn.ReLU())
        else:
            width_in = width * (options.num_layers + 1)
            self.output = _dense(width_in, options.particle_dim, nn.ReLU())

    def forward(
        self,
        features: Float[Tensor, "rows features"],
        angles: Float[Tensor, "rows 2"],
        rows: _Rows,
    ) -> Float[Tensor, "jets width"]:
        """Return the average over the rows of each jet."""
        x, points = features, angles
        for layer in self.embedding:
            if self.is_simple:
                x = layer(x)
            else:
                shifted = points if rows.shift is None else torch.cat([points, rows.shift], dim=1)
                neighbours = nearest_neighbours(
                    shifted, self.num_neighbours, rows.layout, with_self=True
                )
                x = points = layer(x, neighbours)
        embedded, attended = x, []
        for layer in self.attention:
            x = layer(x, rows)
            attended.append(x)
        parts = attended if self.is_simple else [*attended, embedded]
        return mean_over_rows(self.output(torch.cat(parts, dim=1)), rows.layout)


class OffsetAttention(nn.Module):
    """Attention whose result is subtracted from its input before a last layer and a residual."""

    def __init__(self, width: int) -> None:
        super().__init__()
        narrow = max(width // 4, 1)
        self.query = _dense(width, narrow, bias=False)
        self.key = _dense(width, narrow, bias=False)
        self.value = _dense(width, width, bias=False)
        self.offset = _dense(width, width, nn.ReLU(), bias=False)

    def forward(self, x: Float[Tensor, "rows width"], rows: _Rows) -> Float[Tensor, "rows width"]:
        """Return the particles after attention among those of their jet."""
        query, key, value = self.query(x), self.key(x), self.value(x)
        layout = rows.layout
        if layout.groups:
            parts = zip(*(layout.spread(y) for y in (query, key, value)), rows.is_real, strict=True)
            attended = layout.gather([_attend(*part) for part in parts])
        else:  # a rank without particles takes part in the batch norms all the same
            attended = value + 0 * (query.sum() + key.sum())
        moved: Tensor = self.offset(x - attended)
        return x + moved


def _attend(
    query: Float[Tensor, "jets length narrow"],
    key: Float[Tensor, "jets length narrow"],
    value: Float[Tensor, "jets length width"],
    is_real: Bool[Tensor, "jets length"],
) -> Float[Tensor, "jets length width"]:
    """Return Σ_m value_m w_mn with the softmax w over keys n, divided by its sum over queries m."""
    with torch.autocast(query.device.type, enabled=False):
        wide = torch.promote_types(query.dtype, torch.float32)
        energy = query.to(wide) @ key.to(wide).transpose(1, 2)
        # Not −∞: a jet without particles, padded, must not give NaN.
        energy = energy.masked_fill(~is_real[:, None, :], torch.finfo(wide).min)
        both = is_real[:, :, None] & is_real[:, None, :]
        weights = torch.where(both, energy.softmax(dim=2), 0)
        weights = weights / (1e-9 + weights.sum(dim=1, keepdim=True))
        return weights.transpose(1, 2) @ value.to(wide)


class MomentumSchedule(nn.Module):
    """The momentum of the batch norms by the number of jets trained on."""

    _START, _END, _HALVED_EVERY = 0.5, 0.01, 5_000_000

    def __init__(self) -> None:
        super().__init__()
        self.num_jets = 0

    def get_extra_state(self) -> Tensor:
        """Return the number of jets, so that a continued run goes on as it would have."""
        return torch.tensor(self.num_jets)

    def set_extra_state(self, state: Tensor) -> None:
        """Restore the number of jets."""
        self.num_jets = int(state)

    def forward(self, num_jets: int) -> float:
        """Return the momentum for a batch, and count its jets."""
        halvings = self.num_jets // self._HALVED_EVERY
        self.num_jets += num_jets
        return float(max(self._START * 0.5**halvings, self._END))


def _dense(
    width_in: int, width_out: int, *activation: nn.Module, bias: bool = True
) -> nn.Sequential:
    norm = PackedBatchNorm(width_out, _EPS)
    return nn.Sequential(nn.Linear(width_in, width_out, bias=bias), norm, *activation)


def _used(batch: JetBatch, max_particles: int) -> JetBatch:
    """Return the batch of the particles that are used, each jet being their sum."""
    batch = batch.leading(max_particles)
    p4 = batch.p4[: batch.num_particles]
    jet_p4 = sum_over_particles(p4, batch)
    axis = torch.stack([kinematics.eta(jet_p4), kinematics.phi(jet_p4)], dim=1)
    extra, columns = batch.extra[: len(p4)], batch.columns[: len(p4)]
    return replace(batch, p4=p4, extra=extra, columns=columns, jet_p4=jet_p4, jet_axis=axis)


def _real_rows(batch: JetBatch) -> _Rows:
    layout = JetLayout(batch.lengths, batch.device)
    return _Rows(layout, tuple(~group.key_is_padding for group in layout.groups))


def _all_slots(batch: JetBatch, length: int) -> tuple[_Rows, Int64[Tensor, " particles"]]:
    """Return the rows of jets that are all padded to ``length``, and the row of each particle."""
    layout = JetLayout(np.full(len(batch), length), batch.device)
    place = torch.from_numpy(places(batch.lengths)).to(batch.device, non_blocking=True)
    slots = batch.jet_of_particle * length + place
    shift = batch.p4.new_full((layout.num_rows, 1), _PADDING_SHIFT).index_fill(0, slots, 0.0)
    is_real = tuple(part[:, :, 0] == 0 for part in layout.spread(shift))
    return _Rows(layout, is_real, shift), slots
