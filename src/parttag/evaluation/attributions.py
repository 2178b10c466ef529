"""What single jets were classified by: integrated gradients and attention, particle by particle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor

from parttag.jets.batch import JetBatch
from parttag.jets.features import given_name
from parttag.jets.jet_features import given_jet_name, jet_features
from parttag.jets.kind_features import KindTables, particle_inputs
from parttag.jets.kinds import KIND_COLUMN, KindName, names_by_kind, own_name
from parttag.jets.packing import places
from parttag.models import Tagger
from parttag.models.layers.class_attention import ClassAttention, reading_class_attention

MOMENTA = "four-momenta"
"""What stands for the inputs of a network that reads no features."""


@dataclass(frozen=True, eq=False)
class GivenInputs:
    """A batch whose features are columns, as networks read them: they can be changed.

    What a network computes of four-momenta itself, such as what pairs look like, stays that of the
    jets.
    """

    batch: JetBatch
    names: tuple[str, ...]
    """Of the features; with several kinds of particles ``KIND.NAME``."""
    columns: tuple[int, ...]
    """The column of ``table`` that holds each."""
    table: Float[Tensor, "particles columns"]
    has: Bool[Tensor, "particles _features"]
    """Which particles have which feature: those of its kind."""

    @classmethod
    def of(cls, model: Tagger, batch: JetBatch) -> GivenInputs:
        """Return the inputs of a network, computed once; no features if it reads none."""
        given = cls._of_names(tuple(model.feature_names or ()), batch, model)
        if given.names and given.is_read_by(model):
            return given
        return cls._of_names((), batch, model)

    @classmethod
    def _of_names(cls, names: tuple[str, ...], batch: JetBatch, model: Tagger) -> GivenInputs:
        owns = tuple(dict.fromkeys(map(own_name, names)))
        inputs = particle_inputs(batch, names) if names else batch.p4[:, :0]
        if isinstance(inputs, KindTables):
            by_kind = names_by_kind(names)
            wide = [
                _spread(table, [owns.index(name) for name in own], len(owns))
                for table, own in zip(inputs.tables, by_kind.values(), strict=True)
            ]
            table = inputs.joined(wide)
        else:
            table = inputs
        table = table.detach().to(batch.extra.dtype)
        has = torch.zeros(batch.num_particles, len(names), dtype=torch.bool)
        for place, name in enumerate(names):
            has[:, place] = _has(batch, name)
        given = replace(
            _with_jet_features(batch, model),
            extra=torch.cat([batch.extra, table], dim=1),
            extra_names=(*batch.extra_names, *map(given_name, owns)),
        )
        return cls(given, names, tuple(owns.index(own_name(name)) for name in names), table, has)

    def is_read_by(self, model: Tagger) -> bool:
        """Return whether what a network computes depends on the features."""
        place = next(model.parameters()).device
        table = self.table.clone().requires_grad_()
        with torch.enable_grad():
            logits = model(self.with_table(table).span(0, 2).to(place))
            if not logits.requires_grad:
                return False
            (gradient,) = torch.autograd.grad(logits.sum(), table, allow_unused=True)
        return gradient is not None

    def with_table(self, table: Float[Tensor, "particles columns"]) -> JetBatch:
        """Return the jets with other features of their particles."""
        before = self.batch.extra[:, : self.batch.extra.shape[1] - table.shape[1]]
        return replace(self.batch, extra=torch.cat([before, table], dim=1))

    @property
    def changeable(self) -> Float[Tensor, "particles columns"]:
        """What of the particles gradients are of: the features, or the four-momenta without any."""
        return self.table if self.names else self.batch.p4

    def changed(self, values: Float[Tensor, "particles columns"]) -> JetBatch:
        """Return the jets with other values of ``changeable``."""
        return self.with_table(values) if self.names else replace(self.batch, p4=values)

    @property
    def kind(self) -> Int64[np.ndarray, " particles"]:
        """The kind of each particle; 0 where there is one."""
        if not self.batch.kinds:
            return np.zeros(len(self.table), dtype=np.int64)
        column = self.batch.particle_column(KIND_COLUMN)[: self.batch.num_particles]
        kinds: Int64[np.ndarray, " particles"] = column.numpy().astype(np.int64)
        return kinds


@dataclass(frozen=True, eq=False)
class Pool:
    """Particles whose values take the place of others': each by one of its kind, at random."""

    values: Float[Tensor, "pool columns"]
    kind: Int64[np.ndarray, " pool"]

    @classmethod
    def of(cls, given: GivenInputs) -> Pool:
        """Return the particles of some jets."""
        return cls(given.changeable, given.kind)

    def drawn(
        self, kind: Int64[np.ndarray, " particles"], generator: np.random.Generator
    ) -> Float[Tensor, "particles columns"]:
        """Return the values of a random particle of each of these kinds."""
        rows = np.zeros(len(kind), dtype=np.int64)
        for one in np.unique(kind):
            own = np.flatnonzero(self.kind == one)
            rows[kind == one] = generator.choice(own, int((kind == one).sum()))
        return self.values[torch.from_numpy(rows)]


def _spread(
    table: Float[Tensor, "_own _features"], columns: Sequence[int], width: int
) -> Float[Tensor, "_own _columns"]:
    wide = table.new_zeros(len(table), width)
    wide[:, list(columns)] = table
    return wide


def _has(batch: JetBatch, name: str) -> Bool[Tensor, " particles"]:
    if not isinstance(name, KindName):
        return torch.ones(batch.num_particles, dtype=torch.bool)
    number = [kind for kind, _ in batch.kinds].index(name.kind)
    is_of_kind: Tensor = batch.particle_column(KIND_COLUMN)[: batch.num_particles] == number
    return is_of_kind


def _with_jet_features(batch: JetBatch, model: Tagger) -> JetBatch:
    """Return the jets with the features of the jet as columns of theirs."""
    names = model.jet_feature_names
    if not names or not len(batch):
        return batch
    values = jet_features(batch, names).to(torch.float32).contiguous()
    packed = values.view(torch.uint8).reshape(len(batch), -1)
    there = [batch.jet_columns] if batch.jet_column_types else []
    types = tuple((given_jet_name(name), "<f4") for name in names)
    return replace(
        batch,
        jet_columns=torch.cat([*there, packed], dim=1),
        jet_column_types=(*batch.jet_column_types, *types),
    )


# ------------------------------------------------------------------------------------ gradients


@dataclass(frozen=True, eq=False)
class Attributions:
    """What each input of each particle adds to the log-odds of a class."""

    names: tuple[str, ...]
    values: Float32[np.ndarray, "particles features"]
    gap: Float32[np.ndarray, " jets"]
    """Log-odds less their mean where the paths start, less the sum of the attributions: what the
    finite number of steps leaves."""

    @property
    def of_particles(self) -> Float32[np.ndarray, " particles"]:
        """What all inputs of a particle add together."""
        total: Float32[np.ndarray, " particles"] = self.values.sum(axis=1)
        return total


def log_odds_of(
    logits: Float[Tensor, "jets classes"], target: Int64[Tensor, " jets"]
) -> Float[Tensor, " jets"]:
    """Return ln p/(1 − p) of one class of each jet."""
    own = logits.gather(1, target[:, None])
    hidden = torch.zeros_like(logits, dtype=torch.bool).scatter(1, target[:, None], True)
    return own[:, 0] - logits.masked_fill(hidden, -torch.inf).logsumexp(dim=1)


def integrated_gradients(
    model: Tagger,
    batch: JetBatch,
    target: Int64[np.ndarray, " jets"],
    *,
    steps: int = 32,
    pool: Pool | None = None,
    seed: int = 0,
    with_gap: bool = True,
) -> Attributions:
    """Return integrated gradients of the log-odds of a class, from particles at random.

    A path goes in a straight line from other particles to the jet's own, all at once. Gradients are
    averaged over paths (expected gradients, arXiv:1906.10670): from one point for all, such as the
    means, where normalizations have nothing to divide by, they are those of that point alone
    (arXiv:1703.01365).

    Parameters
    ----------
    model
        In evaluation mode, on any device.
    batch
        The jets, on the CPU.
    target
        The class of each jet whose log-odds are explained.
    steps
        Points at which there are gradients, each on a path of its own, evenly from start to end.
    pool
        Where paths start; by default the particles of these jets.
    seed
        Of the starts.
    with_gap
        Whether the gap is wanted, for which the network computes half as much again; else NaN.
    """
    given = GivenInputs.of(model, batch)
    pool = pool or Pool.of(given)
    generator = np.random.default_rng(seed)
    device = next(model.parameters()).device
    chosen = torch.from_numpy(target).to(device)

    def odds_at(values: Tensor) -> Tensor:
        return log_odds_of(model(given.changed(values).to(device)).float(), chosen)

    end, kind = given.changeable, given.kind
    total, odds_of_starts = torch.zeros_like(end), torch.zeros(len(batch))
    for step in range(steps):
        start = pool.drawn(kind, generator)
        inputs = (start + (step + 0.5) / steps * (end - start)).requires_grad_()
        with torch.enable_grad():
            odds = odds_at(inputs).sum()
        (gradient,) = torch.autograd.grad(odds, inputs, allow_unused=True)
        if gradient is not None:
            # The mass of a massless particle, among others, has no gradient.
            total += gradient.nan_to_num(0.0, 0.0, 0.0) * (end - start)
        if with_gap:
            with torch.no_grad():
                odds_of_starts += odds_at(start).cpu()
    values = total / steps
    values = values[:, list(given.columns)] * given.has if given.names else values.sum(1, True)
    jet = batch.jet_of_particle[: batch.num_particles]
    added = torch.zeros(len(batch)).index_add(0, jet, values.sum(dim=1).float())
    gap = torch.full_like(added, torch.nan)
    if with_gap:
        with torch.no_grad():
            gap = odds_at(end).cpu() - odds_of_starts / steps - added
    return Attributions(given.names or (MOMENTA,), values.float().numpy(), gap.numpy())


# ------------------------------------------------------------------------------------ attention


def class_attention(
    model: Tagger, batch: JetBatch
) -> Float32[np.ndarray, "blocks particles"] | None:
    """Return what class tokens look at, a row a class block: the mean of the block's heads.

    The weights of the particles of a jet and that of the token itself sum up to 1. Of an ensemble
    there are the blocks of all members.

    Parameters
    ----------
    batch
        The jets, on the CPU.

    Returns
    -------
    Weights
        ``None`` for networks without class tokens.
    """
    device = next(model.parameters()).device
    # With gradients the network takes all jets in one call, in their order.
    with torch.enable_grad(), reading_class_attention(model) as found:
        model(batch.to(device))
    rows = [_of_all(one, batch.lengths) for one in found]
    return np.stack(rows) if rows else None


def _of_all(
    found: ClassAttention, lengths: Int64[np.ndarray, " jets"]
) -> Float32[np.ndarray, " particles"]:
    """Return the weights of all particles; 0 of those that a member of an ensemble has not."""
    weights = np.zeros(int(lengths.sum()), dtype=np.float32)
    seen = places(lengths) < np.repeat(found.lengths, lengths)
    weights[seen] = found.weights.mean(dim=1).float().cpu().numpy()
    return weights


def logits_of(
    model: Tagger, batch: JetBatch, part: int = 512
) -> Float32[np.ndarray, "jets classes"]:
    """Return the logits of jets on the CPU, a part of them at a time."""
    device = next(model.parameters()).device
    with torch.inference_mode():
        parts = [
            model(batch.span(start, min(start + part, len(batch))).to(device)).float().cpu()
            for start in range(0, len(batch), part)
        ]
    return torch.cat(parts).numpy()


def cross_entropies(
    logits: Float[np.ndarray, "jets classes"], labels: Int64[np.ndarray, " jets"]
) -> Float[np.ndarray, " jets"]:
    """Return the cross-entropy of each jet; NaN for those of no class."""
    losses = F.cross_entropy(
        torch.from_numpy(logits).double(),
        torch.from_numpy(np.where(labels < 0, 0, labels)),
        reduction="none",
    ).numpy()
    return np.where(labels < 0, np.nan, losses)
