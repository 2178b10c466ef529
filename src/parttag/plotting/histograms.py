"""What the pictures show as ``hist.Hist``: to add up, to rebin, to write to ROOT files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Float64

from parttag.errors import InputError
from parttag.plotting.distributions import Sample, SignalScores, sample_edges
from parttag.plotting.kinematics import SignalMasses

if TYPE_CHECKING:
    from hist import Hist


def score_histograms(given: SignalScores) -> dict[str, Hist[Any]]:
    """Return the histogram of a score by class, in the bins of ``scores``.

    They hold sums of weights and of their squares, not shares; what lies beyond the edges is in
    the bins of under- and overflow.

    Raises
    ------
    InputError
        If the package hist is not installed.
    """
    return _fill(given.edges, given.values, given.jet_weights, "score", given.name)


def distribution_histograms(
    samples: Sequence[Sample], name: str, unit: str
) -> dict[tuple[str, str], Hist[Any]]:
    """Return the histogram of a variable by sample and class, in the bins of ``distribution``.

    They are filled as those of ``score_histograms``.

    Raises
    ------
    InputError
        If the package hist is not installed.
    """
    edges = sample_edges(samples, unit)
    title = f"{name} [{unit}]" if unit else name
    return {
        (sample.name, class_name): histogram
        for sample in samples
        for class_name, histogram in _fill(
            edges, sample.values, sample.jet_weights, "value", title
        ).items()
    }


def mass_histograms(masses: SignalMasses) -> dict[str, Hist[Any]]:
    """Return the histograms of the jet mass in the fine bins of ``mass_sculpting``.

    They are filled as those of ``score_histograms``: of the signal, of the background and, by the
    name ``"passed"``, of the background jets that pass the cut.

    Raises
    ------
    InputError
        If the package hist is not installed.
    """
    name = masses.background
    mass = {**masses.jet_mass, "passed": masses.jet_mass[name][masses.passed]}
    weights = {**masses.jet_weights, "passed": masses.jet_weights[name][masses.passed]}
    return _fill(masses.edges, mass, weights, "mass", "Jet mass [GeV]")


def _fill(
    edges: Float64[np.ndarray, " edges"],
    values: Mapping[str, Float[np.ndarray, " jets"]],
    jet_weights: Mapping[str, Float[np.ndarray, " jets"]],
    axis: str,
    title: str,
) -> dict[str, Hist[Any]]:
    try:
        import hist
    except ImportError as error:
        raise InputError(
            "histograms need the package hist: install the extra, pip install 'parttag[plot]'"
        ) from error
    filled: dict[str, Hist[Any]] = {}
    for name, own in values.items():
        binned = hist.axis.Variable(edges, name=axis, label=title)
        filled[name] = hist.Hist(binned, storage=hist.storage.Weight(), label=name)
        filled[name].fill(own, weight=jet_weights[name])
    return filled
