"""Masked particle modelling: tell from the visible particles of a jet what the hidden ones are.

- Of a jet's n particles int(0.3·n) are hidden, drawn at random; at least one where n ≥ 2, where
  the published code hides none of up to three. Kinds without four-momenta are seen, never hidden.
- The network represents all of them, a learned vector in place of each hidden one; nothing of it
  reaches an output (``ParticleEncoder.encode_particles``). The published code puts the learned
  vector in place of the three inputs (``placeholder: inputs``, for the network ``mpm``); here it is
  as wide as the network's particles.
- A dense network turns each representation into scores of the tokenizer's codes, or (``target:
  features``) into the three token features, seen from the axis of the visible particles.
- Hidden particles of a jet look the same to the network. So learned positions are added to these
  outputs, and a small NormFormer makes the final ones: 2 layers of width 256.
- Loss: cross-entropy, or the distance of the features, averaged over the hidden particles of a
  jet, then over jets; 0 for a jet without any.

All codes are labels, used or not; the published code keeps those it has met (427 of 512).

References
----------
arXiv:2401.13537, and the authors' code where the paper leaves it open.
"""

from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from parttag.errors import InputError
from parttag.jets.batch import JetBatch
from parttag.jets.kind_features import have_momenta
from parttag.jets.packing import places
from parttag.models import MODELS, ParticleEncoder, Tagger
from parttag.models.layers.masking import visible_jets
from parttag.models.layers.normformer import NormFormer, dense_network, layout_for
from parttag.models.mpm import MPM
from parttag.models.particle_tokenizer import (
    NUM_FEATURES,
    FrozenTokenizer,
    TokenizerOptions,
    token_errors,
    token_features,
)
from parttag.ops.collectives import sum_over_ranks
from parttag.options import Heads
from parttag.training.objectives.objective import BatchSums, Objective, ObjectiveOptions
from parttag.training.objectives.registry import register_objective
from parttag.training.objectives.tokenize import Distance, feature_distances


class MaskedOptions(ObjectiveOptions, Heads):
    """What is hidden, what is predicted, and the sizes of what predicts it."""

    name: Literal["masked"] = "masked"
    share: float = Field(default=0.3, gt=0, lt=1)
    """Share of a jet's particles that is hidden, rounded down; at least one of two or more."""
    target: Literal["tokens", "features"] = "tokens"
    """tokens: the code of each hidden particle; features: its pT and angles."""
    tokenizer: TokenizerOptions = TokenizerOptions()
    """Sizes of the tokenizer in ``tokenizer_from``, whose codes are predicted."""
    distance: Distance = "mse"
    """Between predicted and true features: squared or absolute difference."""
    positions: Literal["hidden", "jet", "none"] = "hidden"
    """What a learned position counts, in order of falling pT: hidden, the hidden particles of the
    jet; jet, as in the published code, all of its particles; none: there are no positions."""
    num_positions: PositiveInt = 128
    """Positions; later particles share the last."""
    num_layers: PositiveInt = 2
    """Layers of the NormFormer after the positions."""
    width: PositiveInt = 256
    """Its width."""
    dense_dim: PositiveInt = 128
    """Width of the hidden layer of every dense network after the positions."""
    output_dim: PositiveInt | None = None
    """Width of the hidden layer of the dense network before them; null for dense_dim. In the
    published code it is that of the encoder's own: 512 for the largest, else 256."""
    placeholder: Literal["embedding", "inputs"] = "embedding"
    """What stands for a hidden particle: a learned vector as wide as the network's particles, or,
    as published and for mpm only, one of the three inputs, which is standardized as they are."""
    sum_features: bool = False
    """Add up the differences of the three features, as published, instead of taking their mean."""
    num_heads: PositiveInt = 8
    """Attention heads of a layer."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Of attention weights."""


class MaskedHead(nn.Module):
    """What the objective learns besides the backbone, and the tokenizer that makes the targets."""

    token_counts: Tensor

    def __init__(
        self, options: MaskedOptions, particle_width: int, placeholder: Tensor | None = None
    ) -> None:
        super().__init__()
        predicts_tokens = options.target == "tokens"
        self.tokenizer = FrozenTokenizer(options.tokenizer) if predicts_tokens else None
        num_outputs = options.tokenizer.num_codes if predicts_tokens else NUM_FEATURES
        if placeholder is None:
            placeholder = nn.init.trunc_normal_(torch.empty(particle_width), std=0.02)
        self.placeholder = nn.Parameter(placeholder)
        hidden = options.output_dim or options.dense_dim
        self.output = dense_network(particle_width, hidden, num_outputs)
        self.positions = None
        if options.positions != "none":
            self.positions = PositionHead(options, num_outputs)
        # How often each code was to be predicted in training.
        num_codes = options.tokenizer.num_codes if predicts_tokens else 0
        self.register_buffer("token_counts", torch.zeros(num_codes, dtype=torch.long))

    def forward(
        self,
        particles: Float[Tensor, "particles width"],
        batch: JetBatch,
        hidden: Bool[np.ndarray, " particles"],
        rows: Int64[Tensor, " hidden"],
    ) -> Float[Tensor, "hidden outputs"]:
        """Return the predictions for the hidden particles, those at ``rows``."""
        predictions: Tensor
        if self.positions is None:
            predictions = self.output(particles[rows])
        else:
            predictions = self.positions(self.output(particles), batch, hidden)[rows]
        return predictions


class PositionHead(nn.Module):
    """Tells the hidden particles of a jet apart by their order in pT."""

    def __init__(self, options: MaskedOptions, num_outputs: int) -> None:
        super().__init__()
        self._counts_all = options.positions == "jet"
        self._head_width = options.width // options.num_heads
        self.positions = nn.Parameter(torch.zeros(options.num_positions, num_outputs))
        self.network = NormFormer(
            num_outputs,
            options.width,
            options.dense_dim,
            num_layers=options.num_layers,
            num_heads=options.num_heads,
            dropout=options.dropout,
        )
        self.output = dense_network(options.width, options.dense_dim, num_outputs)

    def forward(
        self,
        outputs: Float[Tensor, "particles outputs"],
        batch: JetBatch,
        hidden: Bool[np.ndarray, " particles"],
    ) -> Float[Tensor, "particles outputs"]:
        """Return the outputs of all particles, which now know their positions."""
        has_position = np.ones_like(hidden) if self._counts_all else hidden
        jet = np.repeat(np.arange(len(batch)), batch.lengths)
        counts = np.bincount(jet[has_position], minlength=len(batch))
        position = np.minimum(places(counts), len(self.positions) - 1)
        rows, position = (
            torch.from_numpy(values).to(outputs.device, non_blocking=True)
            for values in (np.flatnonzero(has_position), position)
        )
        moved = outputs.index_add(0, rows, self.positions[position].to(outputs.dtype))
        layout = layout_for(batch.lengths, moved, self._head_width, "auto")
        final: Tensor = self.output(self.network(moved, layout))
        return final


@register_objective("masked")
class Masked(Objective):
    """Sums of the loss, and of what shows whether anything is learned.

    The metrics are means over the hidden particles of a jet, then over jets: for tokens

    - ``token_accuracy``: share of the codes that are predicted right;
    - ``unigram_accuracy``: share that always guessing the code most frequent so far gets right;

    for features ``pt_error``, |Δ ln pT|, and ``angle_error``, ΔR.
    """

    options_class = MaskedOptions
    needs_labels = False
    gives_scores = False
    of_momenta = "hides and predicts"

    def __init__(self, options: MaskedOptions) -> None:
        self.options = options
        self.metric_names = (
            ("token_accuracy", "unigram_accuracy")
            if options.target == "tokens"
            else ("pt_error", "angle_error")
        )

    def build_head(self, model: Tagger) -> nn.Module:
        """Return what predicts the hidden particles.

        Raises
        ------
        InputError
            If the model does not represent particles.
        """
        if not isinstance(model, ParticleEncoder):
            names = [n for n, e in MODELS.items() if issubclass(e.network, ParticleEncoder)]
            raise InputError(
                "objective.name: masked needs a network that represents each particle; choose "
                f"model.name from {', '.join(names)}"
            )
        if self.options.placeholder == "embedding":
            return MaskedHead(self.options, model.particle_width)
        if not isinstance(model, MPM):
            raise InputError(
                "objective.placeholder: inputs takes a network whose inputs are three numbers of a "
                "particle; choose model.name=mpm, or objective.placeholder=embedding"
            )
        return MaskedHead(self.options, model.particle_width, torch.ones(model.num_inputs))

    def __call__(self, model: Tagger, batch: JetBatch) -> BatchSums:
        """Return the sums over the jets of a batch."""
        assert isinstance(model, ParticleEncoder)
        head = model.head
        assert isinstance(head, MaskedHead)
        candidates = have_momenta(batch)
        hidden = draw_hidden(batch.lengths, self.options.share, candidates)
        rows = torch.from_numpy(np.flatnonzero(hidden)).to(batch.device, non_blocking=True)
        particles = model.encode_particles(batch, hidden, head.placeholder)
        predictions = head(particles, batch, hidden, rows)
        if head.tokenizer is not None:
            targets = _codes(head.tokenizer, batch, hidden, candidates)
            losses, metrics = _judge_tokens(head, predictions, targets)
        else:
            losses, metrics = self._judge_features(batch, hidden, rows, predictions)
        jet_weights = _hidden_weights(batch, hidden)
        return BatchSums(
            loss=(jet_weights * losses).sum(),
            weight=batch.jet_weights.sum(),
            size=batch.jet_weights.abs().sum(),
            metrics={name: (jet_weights * values).sum() for name, values in metrics.items()},
        )

    def _judge_features(
        self,
        batch: JetBatch,
        hidden: Bool[np.ndarray, " particles"],
        rows: Int64[Tensor, " hidden"],
        predictions: Float[Tensor, "hidden 3"],
    ) -> tuple[Tensor, dict[str, Tensor]]:
        axis = visible_jets(batch, hidden).jet_axis[batch.jet_of_particle[rows]]
        targets = token_features(batch.p4[rows], axis)
        predictions = predictions.to(targets.dtype)
        losses = feature_distances(predictions, targets, self.options.distance)
        if self.options.sum_features:
            losses = losses * NUM_FEATURES
        pt_error, angle_error = token_errors(predictions.detach(), targets)
        return losses, {"pt_error": pt_error, "angle_error": angle_error}


def draw_hidden(
    lengths: Int64[np.ndarray, " jets"],
    share: float,
    candidates: Bool[np.ndarray, " particles"] | None = None,
) -> Bool[np.ndarray, " particles"]:
    """Return which particles are hidden, drawn from torch's generator.

    Of n particles int(``share``·n), and at least one where n ≥ 2. With ``candidates``, only those
    are counted, and may be hidden.
    """
    if candidates is not None:
        jet = np.repeat(np.arange(len(lengths)), lengths)[candidates]
        hidden = np.zeros(len(candidates), dtype=bool)
        hidden[candidates] = draw_hidden(np.bincount(jet, minlength=len(lengths)), share)
        return hidden
    # The small number is for shares that are no binary fractions: 0.29 · 100 is below 29.
    counts = np.floor(share * lengths + 1e-9).astype(np.int64)
    counts = np.maximum(counts, lengths >= 2)
    jet = np.repeat(np.arange(len(lengths)), lengths)
    shuffled = np.lexsort((torch.rand(len(jet)).numpy(), jet))
    hidden = np.empty(len(jet), dtype=bool)
    hidden[shuffled] = places(lengths) < counts[jet]
    return hidden


def _codes(
    tokenizer: FrozenTokenizer,
    batch: JetBatch,
    hidden: Bool[np.ndarray, " particles"],
    candidates: Bool[np.ndarray, " particles"] | None,
) -> Int64[Tensor, " hidden"]:
    """Return the codes of the hidden particles, in jets of those that have four-momenta."""
    if candidates is not None:
        batch, hidden = batch.keep_particles(candidates), hidden[candidates]
    rows = torch.from_numpy(np.flatnonzero(hidden)).to(batch.device, non_blocking=True)
    return tokenizer.codes(batch)[rows]


def _judge_tokens(
    head: MaskedHead,
    predictions: Float[Tensor, "hidden codes"],
    targets: Int64[Tensor, " hidden"],
) -> tuple[Tensor, dict[str, Tensor]]:
    losses = F.cross_entropy(predictions, targets, reduction="none")
    with torch.no_grad():
        metrics = {
            "token_accuracy": predictions.argmax(dim=1) == targets,
            "unigram_accuracy": head.token_counts.argmax() == targets,
        }
        if head.training:
            ones = torch.ones_like(targets)
            counts = torch.zeros_like(head.token_counts).index_add_(0, targets, ones)
            head.token_counts += sum_over_ranks(counts)
    return losses, metrics


def _hidden_weights(
    batch: JetBatch, hidden: Bool[np.ndarray, " particles"]
) -> Float[Tensor, " hidden"]:
    """Return the weight of each hidden particle: its jet's, shared by those hidden in it."""
    jet = np.repeat(np.arange(len(batch)), batch.lengths)[hidden]
    shares = torch.from_numpy(1 / np.bincount(jet)[jet])
    rows = torch.from_numpy(jet).to(batch.device, non_blocking=True)
    return batch.jet_weights[rows] * shares.to(batch.jet_weights, non_blocking=True)
