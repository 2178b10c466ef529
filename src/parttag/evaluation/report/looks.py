"""Jets to look at: the surest right ones, the surest wrong ones, the undecided, explained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int64

from parttag.data.jet_files import STEP_JETS, JetFiles
from parttag.data.readers import count_jets
from parttag.errors import InputError
from parttag.evaluation.attributions import (
    GivenInputs,
    Pool,
    class_attention,
    integrated_gradients,
)
from parttag.evaluation.scored_jets import ScoredJets
from parttag.jets import kinematics
from parttag.jets.arrays import JetArrays, concatenate
from parttag.jets.batch import JetBatch, make_batch
from parttag.jets.kinds import KIND_COLUMN
from parttag.metrics import Report
from parttag.metrics.calibration import softmax
from parttag.runs.run import Run

# Files of which jets are looked through, evenly among all: those of a class may be in one.
_MOST_FILES = 12
# Jets of each choice; two of each class for the right ones.
_MOST_RIGHT, _MOST_WRONG, _MOST_UNDECIDED = 4, 4, 2
# Jets whose particles stand where the paths of the gradients start.
_POOL_JETS = 64
_STEPS = 32

_TYPES = {
    "is_charged_hadron": "charged hadron",
    "is_neutral_hadron": "neutral hadron",
    "is_photon": "photon",
    "is_electron": "electron",
    "is_muon": "muon",
}


@dataclass(frozen=True, eq=False)
class Look:
    """A jet to look at, and what the network goes by in it."""

    why: str
    """Why it was chosen: surest right, surest wrong, undecided."""
    place: str
    """The file, and the row there."""
    truth: str
    predicted: str
    score: float
    """Of the class that is predicted."""
    jet_pt: float
    jet_mass: float
    pt: Float[np.ndarray, " particles"]
    """In GeV, in falling order."""
    delta_eta: Float[np.ndarray, " particles"]
    """From the jet axis."""
    delta_phi: Float[np.ndarray, " particles"]
    gradient: Float[np.ndarray, " particles"]
    """What each particle adds to the log-odds of the predicted class."""
    attention: Float[np.ndarray, " particles"] | None
    """Of the class tokens, the mean over blocks and heads."""
    types: tuple[str, ...]
    """What each particle is, if that is known."""


def look_at_jets(
    run: Run, report: Report | None, jets: ScoredJets | None
) -> tuple[tuple[Look, ...], str]:
    """Return jets to look at; or none, and why there are none.

    They are read again from the files that were evaluated, and have to be the same jets.
    """
    if report is None or jets is None or not len(jets.labels):
        return (), "the run was not evaluated, or its scores are not there"
    if run.fold_models:
        return (), "the run has a network a fold"
    if report.probe is not None:
        return (), "it is a probe that was measured"
    if not report.data:
        return (), "the jets were evaluated in memory"
    try:
        return tuple(_looks(run, report.data, jets)), ""
    except InputError as error:
        return (), f"the jets cannot be read again ({error})"


def _looks(run: Run, data: Sequence[str], jets: ScoredJets) -> Iterator[Look]:
    parts = list(_candidates(run, data))
    numbers = np.concatenate([rows for _, rows, _ in parts])
    at = np.flatnonzero(np.isin(jets.rows, numbers))
    chosen = choose(jets.logits[at], jets.labels[at])
    if not chosen:
        raise InputError("none of the first jets of the files was measured")
    own = np.array([at[row] for _, row in chosen])
    order = np.argsort(numbers)
    places = order[np.searchsorted(numbers[order], jets.rows[own])]
    pooled = _together([part for part, _, _ in parts])
    taken = pooled.take(places)
    if not np.allclose(taken.pt, jets.jet_pt[own], rtol=1e-3):
        raise InputError("the files hold other jets than those that were evaluated")
    names = [name for _, rows, name in parts for _ in rows]
    firsts = np.concatenate([np.arange(len(rows)) for _, rows, _ in parts])
    yield from explained_looks(
        run,
        taken,
        _some(pooled),
        jets.logits[own],
        jets.labels[own],
        [why for why, _ in chosen],
        [f"{names[place]}, jet {firsts[place]}" for place in places],
    )


def _candidates(
    run: Run, data: Sequence[str]
) -> Iterator[tuple[JetArrays, Int64[np.ndarray, " jets"], str]]:
    """Yield the first jets of some files, their numbers among all jets, and the file."""
    own = run.config.data
    files = JetFiles(tuple(data), own.columns, wanted=run.config.wanted_columns)
    paths = files.paths
    counts = [count_jets(path, files.layout) for path in paths]
    starts = np.concatenate([[0], np.cumsum(counts)])
    taken = np.unique(np.linspace(0, len(paths) - 1, min(len(paths), _MOST_FILES)).astype(int))
    for number in taken:
        steps = files.at([paths[number]]).all_jets(step_jets=STEP_JETS)
        _, jets = next(iter(steps))
        yield jets, starts[number] + np.arange(len(jets)), paths[number].name


def _together(parts: Sequence[JetArrays]) -> JetArrays:
    """Return jets of several files as those of one."""
    try:
        return concatenate([replace(part, sources=("evaluated",)) for part in parts])
    except ValueError as error:
        raise InputError(f"the files differ in what they hold: {error}") from None


def _some(jets: JetArrays) -> JetArrays:
    rows = np.linspace(0, len(jets) - 1, min(len(jets), _POOL_JETS)).astype(np.int64)
    return jets.take(rows[jets.lengths[rows] > 0])


def choose(
    logits: Float[np.ndarray, "jets classes"], labels: Int64[np.ndarray, " jets"]
) -> list[tuple[str, int]]:
    """Return why and which jets are looked at, without any jet twice.

    The surest right ones are of all classes in turn; undecided are those whose highest score is
    lowest.
    """
    if not len(labels):
        return []
    sure = np.sort(logits.astype(np.float64), axis=1)
    sure = sure[:, -1] - np.log(np.exp(sure[:, :-1] - sure[:, -2:-1]).sum(axis=1)) - sure[:, -2]
    right = logits.argmax(axis=1) == labels
    falling = np.argsort(-sure, kind="stable")
    by_class = [falling[right[falling] & (labels[falling] == c)] for c in np.unique(labels)]
    turns = [own[turn] for turn in range(_MOST_RIGHT) for own in by_class if turn < len(own)]
    found = [("surest right", int(row)) for row in turns[:_MOST_RIGHT]]
    found += [("surest wrong", int(row)) for row in falling[~right[falling]][:_MOST_WRONG]]
    there = {row for _, row in found}
    rising = [int(row) for row in falling[::-1] if int(row) not in there]
    return found + [("undecided", row) for row in rising[:_MOST_UNDECIDED]]


def explained_looks(
    run: Run,
    jets: JetArrays,
    pool: JetArrays,
    logits: Float[np.ndarray, "jets classes"],
    labels: Int64[np.ndarray, " jets"],
    why: Sequence[str],
    places: Sequence[str],
) -> Iterator[Look]:
    """Yield the jets with what a network goes by in them.

    Parameters
    ----------
    pool
        Jets whose particles stand where the paths of the gradients start.
    logits, labels
        Of the jets.
    why, places
        What is said of each.
    """
    most = run.model.max_particles
    batch = make_batch(jets, labels, max_particles=most)
    predicted = logits.argmax(axis=1).astype(np.int64)
    start = Pool.of(GivenInputs.of(run.model, make_batch(pool, max_particles=most)))
    gradients = integrated_gradients(
        run.model, batch, predicted, steps=_STEPS, pool=start, with_gap=False
    )
    blocks = class_attention(run.model, batch)
    attention = None if blocks is None else blocks.mean(axis=0)
    scores = softmax(logits)
    p4 = batch.p4.numpy().astype(np.float64)
    pt, eta, phi = kinematics.pt(p4), kinematics.eta(p4), kinematics.phi(p4)
    types = _types(batch)
    ends = np.cumsum(batch.lengths)
    for number, (stop, length) in enumerate(zip(ends, batch.lengths, strict=True)):
        own = slice(stop - length, stop)
        axis = jets.jet_axis[number]
        yield Look(
            why=why[number],
            place=places[number],
            truth=run.classes[labels[number]],
            predicted=run.classes[predicted[number]],
            score=float(scores[number, predicted[number]]),
            jet_pt=float(jets.pt[number]),
            jet_mass=float(jets.mass[number]),
            pt=pt[own],
            delta_eta=eta[own] - axis[0],
            delta_phi=kinematics.delta_phi(phi[own], axis[1]),
            gradient=gradients.of_particles[own],
            attention=None if attention is None else attention[own],
            types=tuple(types[own]),
        )


def _types(batch: JetBatch) -> list[str]:
    """Return what each particle is: its kind, or what its flags say."""
    number = batch.num_particles
    if batch.kinds:
        names = [name for name, _ in batch.kinds]
        kinds = batch.particle_column(KIND_COLUMN)[:number].tolist()
        return [names[kind] for kind in kinds]
    found = [""] * number
    for column, name in _TYPES.items():
        if column in batch.extra_names:
            for row in np.flatnonzero(batch.particle_column(column)[:number].numpy() == 1):
                found[row] = name
    return found
