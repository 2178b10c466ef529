"""What an exported model gives, beside what the run itself gives to the same jets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float64
from torch import Tensor, nn

from parttag.evaluation.batches import computing_in
from parttag.export.options import Output
from parttag.jets.arrays import EXTRA_NAMES, JetArrays
from parttag.jets.batch import JetBatch, make_batch
from parttag.jets.columns import pack_columns
from parttag.jets.kinds import KIND_COLUMN, KIND_TYPE, MaxParticles
from parttag.jets.kinematics import delta_phi, phi, rapidity
from parttag.models import Tagger
from parttag.models.layers.pair_network import PairNetwork
from parttag.models.particle_net import EdgeBlock
from parttag.samples.toys import toy_jets

NUMBERS_OF_JETS = 1, 2, 7, 64
NUMBERS_OF_SLOTS = 1, 2, 17, 128

Values = Float64[np.ndarray, "_jets _values"]

# Two squared distances that are as good as equal: relative, and by the rounding of float32 in the
# expanded form |a|² − 2ab + |b|², in which networks compute them.
_TIE = 1e-5
_ROUNDING = 8 * float(np.finfo(np.float32).eps)


@dataclass(frozen=True)
class Differences:
    """How far the scores of a model are from the run's own.

    Jets in which rounding decides, of neighbours that are as good as equally far or of the
    logarithm of the angle between particles in the same direction, are counted apart.
    """

    num_jets: int
    largest: float
    median: float
    num_ties: int = 0
    largest_of_ties: float = 0.0

    def __str__(self) -> str:
        """Return one sentence."""
        text = (
            f"{self.num_jets} jets: scores differ from the run's by at most {self.largest:.1e} "
            f"(median {self.median:.1e})"
        )
        if not self.num_ties:
            return text
        return (
            f"{text}; {self.num_ties} more jets have neighbours as good as equally far or "
            f"particles in the same direction, and differ by at most {self.largest_of_ties:.1e}"
        )


def differences(
    own: Sequence[Values], exported: Sequence[Values], tied: Sequence[Bool[np.ndarray, " _jets"]]
) -> Differences:
    """Return how far values are apart."""
    apart = np.concatenate([np.abs(a - b).max(axis=1) for a, b in zip(own, exported, strict=True)])
    # A number that is none is as far as can be.
    apart = np.where(np.isfinite(apart), apart, np.inf)
    is_tied = np.concatenate(tied)
    counted, others = apart[~is_tied], apart[is_tied]
    return Differences(
        len(counted),
        float(counted.max(initial=0.0)),
        float(np.median(counted)) if len(counted) else 0.0,
        len(others),
        float(others.max(initial=0.0)),
    )


def own_values(network: Tagger, batch: JetBatch, output: Output) -> Values:
    """Return what the network itself gives: scores, or its representation."""
    with torch.inference_mode(), computing_in("fp32", torch.device("cpu")):
        is_embedding = output == "embedding"
        values: np.ndarray = (network.encode if is_embedding else network)(batch).numpy()
    return comparable(values, "embedding" if is_embedding else "logits")


def comparable(values: np.ndarray, output: Output) -> Values:
    """Return scores of logits, and others as they are."""
    wide: Values = values.astype(np.float64)
    if output != "logits":
        return wide
    exponentials = np.exp(wide - wide.max(axis=1, keepdims=True))
    scores: Values = exponentials / exponentials.sum(axis=1, keepdims=True)
    return scores


@dataclass(frozen=True)
class ToyColumns:
    """Columns that toy jets are to have besides those that they have, and kinds."""

    particles: tuple[str, ...] = ()
    jets: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()

    def added_to(self, jets: JetArrays, rng: np.random.Generator) -> JetArrays:
        """Return jets with random numbers, one in twenty of which is none, and random kinds."""
        others = [name for name in self.particles if name not in EXTRA_NAMES]
        columns = _random(others, len(jets.p4), rng)
        if self.kinds:
            kind = rng.integers(len(self.kinds), size=len(jets.p4))
            columns[KIND_COLUMN] = kind.astype(KIND_TYPE)
        packed, types = pack_columns(columns, len(jets.p4))
        of_jets, jet_types = pack_columns(_random(self.jets, len(jets), rng), len(jets))
        return replace(
            jets,
            columns=packed,
            column_types=types,
            jet_columns=of_jets,
            jet_column_types=jet_types,
            kinds=tuple((kind, True) for kind in self.kinds),
        )


def _random(names: Sequence[str], rows: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    values = {name: rng.normal(size=rows).astype(np.float32) for name in names}
    return {name: np.where(rng.random(rows) < 0.05, np.nan, v) for name, v in values.items()}


def toy_batches(columns: ToyColumns, max_particles: MaxParticles) -> Iterator[tuple[JetBatch, int]]:
    """Yield batches with the number of slots that each is to be padded to, the last one empty.

    All numbers of jets with all numbers of slots; the first jet of each has one particle.
    """
    for seed, (number, slots) in enumerate(
        (number, slots) for number in NUMBERS_OF_JETS for slots in NUMBERS_OF_SLOTS
    ):
        rng = np.random.default_rng(seed)
        lengths = rng.integers(1, max(slots, 2), number)
        lengths[-1] = max(slots - 1, 1)
        lengths[0] = 1 if number > 1 else lengths[0]
        jets = columns.added_to(toy_jets(seed=seed, lengths=lengths), rng)
        yield make_batch(jets, max_particles=max_particles), slots


def near_ties(network: Tagger, batch: JetBatch) -> Bool[np.ndarray, " jets"]:
    """Return which jets are what they are to a network by the rounding of float32.

    For ParticleNet those are jets where the last neighbour and the next one after it are as good as
    equally far, or a particle and the nearest one to it are at the same place; for the pair bias of
    a Particle Transformer, jets with two particles in the same direction, whose ln Δ is that of the
    last bit of a rapidity or an azimuth, or of ``eps`` if all bits are the same.
    """
    tied = np.zeros(len(batch), dtype=bool)
    if any(isinstance(module, PairNetwork) for module in network.modules()):
        tied |= _has_same_directions(batch)
    blocks = [module for module in network.modules() if isinstance(module, EdgeBlock)]
    if not blocks:
        return tied
    seen: list[tuple[Tensor, int]] = []
    with _watching(blocks, seen), torch.inference_mode():
        network.encode(batch)
    for points, k in seen:
        for jet, own in enumerate(points.double().split(batch.lengths.tolist())):
            tied[jet] |= _has_tie(own, k)
    return tied


def _has_same_directions(batch: JetBatch) -> Bool[np.ndarray, " jets"]:
    """Return which jets have two particles whose angles differ by rounding alone."""
    p4 = batch.p4[: batch.num_particles]
    lengths = batch.lengths.tolist()
    found = np.zeros(len(batch), dtype=bool)
    for jet, (y, azimuth) in enumerate(
        zip(rapidity(p4).split(lengths), phi(p4).split(lengths), strict=True)
    ):
        along = (y[:, None] - y).abs() / y.abs().clamp(min=1)
        apart = torch.stack([along, delta_phi(azimuth[:, None], azimuth).abs()])
        is_same = (apart <= _ROUNDING).all(dim=0)
        found[jet] = bool(is_same.fill_diagonal_(False).any())
    return found


@contextmanager
def _watching(blocks: Sequence[EdgeBlock], seen: list[tuple[Tensor, int]]) -> Iterator[None]:
    def note(block: nn.Module, arguments: tuple[Any, ...]) -> None:
        assert isinstance(block, EdgeBlock)
        seen.append((arguments[1], block.num_neighbours))

    hooks = [block.register_forward_pre_hook(note) for block in blocks]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _has_tie(points: Tensor, k: int) -> bool:
    if len(points) < 2:
        return False
    squares = torch.cdist(points, points).square().sort(dim=1).values
    rounding = _ROUNDING * points.square().sum(dim=1)
    tied = (squares[:, 1] <= rounding).any()
    if len(points) > k + 1:
        last, following = squares[:, k], squares[:, k + 1]
        tied |= (following - last <= (2 * _TIE * following).maximum(rounding)).any()
    return bool(tied)
