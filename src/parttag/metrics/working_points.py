"""Working points: the cuts that keep a share of signal or background, in bins of pT and η."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64

from parttag.errors import InputError
from parttag.metrics.discriminant import Discriminant, discriminants
from parttag.metrics.estimate import Estimate, checked_weights, efficiency
from parttag.metrics.options import EvaluationOptions, PointOptions, TableOptions
from parttag.metrics.roc import Roc, roc
from parttag.options import nearest

# A share of cumulated weights may be rounded past the one that is asked for.
_ROUNDING = 1e-12

Edges = tuple[float, ...]
Bin = tuple[int, ...]
"""The numbers of a bin, one an axis."""


@dataclass(frozen=True)
class Axis:
    """A variable of the jet whose bins have cuts of their own."""

    name: str
    """``pt`` in GeV, ``eta`` or ``abs_eta``."""
    edges: Edges
    """A bin has its lower edge and not its upper one."""

    def numbers(
        self, jet_pt: Float[np.ndarray, " jets"], jet_eta: Float[np.ndarray, " jets"]
    ) -> Int64[np.ndarray, " jets"]:
        """Return the bin of each jet; −1 outside of all."""
        known = {"pt": jet_pt, "eta": jet_eta, "abs_eta": np.abs(jet_eta)}
        values = known[self.name].astype(np.float64)
        found = np.searchsorted(self.edges, values, side="right") - 1
        bins: Int64[np.ndarray, " jets"]
        bins = np.where((found < len(self.edges) - 1) & ~np.isnan(values), found, -1)
        return bins


@dataclass(frozen=True, eq=False)
class PointTable:
    """One working point: its score, and the threshold of every bin."""

    score: Discriminant
    asked: str
    """What it keeps, for texts: ``efficiency 0.5``, ``mistag rate 0.01 of light``."""
    thresholds: Float64[np.ndarray, ...]
    """On ln p_S − ln Σ f_b p_b, one a bin; a jet passes if its score is at least this."""
    efficiencies: Mapping[str, tuple[Estimate, ...]]
    """Share of each class that passes, bin by bin, of the jets that the cuts were made with."""


@dataclass(frozen=True, eq=False)
class WorkingPoints:
    """Cuts by name, and what they were made with."""

    classes: tuple[str, ...]
    axes: tuple[Axis, ...]
    points: Mapping[str, PointTable]
    calibration: str | None = None
    """The name of the calibration of the scores that they cut on; ``None`` without one."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Points that the jets do not determine, and why."""

    def passing(
        self,
        logits: Float[np.ndarray, "jets classes"],
        jet_pt: Float[np.ndarray, " jets"],
        jet_eta: Float[np.ndarray, " jets"],
    ) -> dict[str, Bool[np.ndarray, " jets"]]:
        """Return which jets pass each point; those outside of the bins, or without scores, none."""
        bins = [axis.numbers(jet_pt, jet_eta) for axis in self.axes]
        inside = np.all([numbers >= 0 for numbers in bins], axis=0) & np.ones(len(logits), bool)
        inside &= np.isfinite(logits).all(axis=1)
        rows = np.flatnonzero(inside)
        found = {}
        for name, point in self.points.items():
            cut = point.thresholds[tuple(numbers[rows] for numbers in bins)]
            passed = np.zeros(len(logits), dtype=bool)
            passed[rows] = point.score(logits[rows]) >= cut
            found[name] = passed
        return found

    def bin_text(self, place: Bin) -> str:
        """Return a bin for texts: ``pt 20 to 50, abs_eta 0 to 1.2``."""
        return _bin_text(self.axes, place)


def _bin_text(axes: Sequence[Axis], place: Bin) -> str:
    edges = zip(axes, place, strict=True)
    return ", ".join(f"{a.name} {a.edges[n]:g} to {a.edges[n + 1]:g}" for a, n in edges)


def measure_working_points(
    logits: Float[np.ndarray, "jets classes"],
    labels: Int64[np.ndarray, " jets"],
    classes: Sequence[str],
    jet_weights: Float[np.ndarray, " jets"] | None,
    options: EvaluationOptions,
    *,
    jet_pt: Float[np.ndarray, " jets"],
    jet_eta: Float[np.ndarray, " jets"],
    calibration: str | None = None,
) -> WorkingPoints:
    """Return the cuts of the points that ``options.tables`` names, or of ``working_points``.

    A cut lies halfway between the score of the last jet that passes and the next.

    Raises
    ------
    InputError
        If a point that is named does not fit the classes, or the jets of a bin do not determine it.
        Those of ``working_points`` are left out then.
    """
    weights = checked_weights(jet_weights, len(labels))
    axes = _axes(options.tables)
    bins = [axis.numbers(jet_pt, jet_eta) for axis in axes]
    wanted = _wanted(classes, options)
    points, left_out = {}, {}
    for name, (score, asked) in wanted.items():
        jets = _Jets(score(logits), labels, weights, tuple(classes), bins)
        try:
            points[name] = _table(jets, axes, score, asked, name)
        except InputError as error:
            if options.tables.points:
                raise
            left_out[name] = str(error)
    return WorkingPoints(tuple(classes), axes, points, calibration, left_out)


@dataclass(frozen=True, eq=False)
class _Jets:
    scores: Float64[np.ndarray, " jets"]
    labels: Int64[np.ndarray, " jets"]
    weights: Float64[np.ndarray, " jets"]
    classes: tuple[str, ...]
    bins: Sequence[Int64[np.ndarray, " jets"]]

    def inside(self, place: Bin) -> _Jets:
        """Return the jets of a bin."""
        rows = np.ones(len(self.labels), dtype=bool)
        for numbers, number in zip(self.bins, place, strict=True):
            rows &= numbers == number
        return _Jets(self.scores[rows], self.labels[rows], self.weights[rows], self.classes, ())

    def of(self, names: Sequence[str]) -> Bool[np.ndarray, " jets"]:
        """Return which are of these classes."""
        return np.isin(self.labels, [self.classes.index(name) for name in names])


def _axes(tables: TableOptions) -> tuple[Axis, ...]:
    given = {"pt": tables.pt, "eta": tables.eta, "abs_eta": tables.abs_eta}
    return tuple(Axis(name, edges) for name, edges in given.items() if edges is not None)


def _wanted(
    classes: Sequence[str], options: EvaluationOptions
) -> dict[str, tuple[Discriminant, PointOptions]]:
    """Return the score of each working point, and what it is to keep."""
    scores = discriminants(classes, options)
    if not options.tables.points:
        return {
            _point_name(signal, eps_s, len(scores)): (score, PointOptions(efficiency=eps_s))
            for signal, score in scores.items()
            for eps_s in score.working_points
        }
    found = {}
    for name, point in options.tables.points.items():
        key = f"evaluation.tables.points.{name}"
        if not scores:
            raise InputError(
                f"{key}: there is no background among {len(classes)} classes; name it in "
                "evaluation.background"
            )
        if point.signal is None and len(scores) > 1:
            raise InputError(f"{key}: name its signal, one of {', '.join(scores)}")
        signal = point.signal if point.signal is not None else next(iter(scores))
        _refuse_unknown(f"{key}.signal", signal, list(scores))
        for other in point.of:
            _refuse_unknown(f"{key}.of", other, [c for c in classes if c != signal])
        found[name] = (scores[signal], point)
    return found


def check_working_points(classes: Sequence[str], options: EvaluationOptions) -> None:
    """Refuse points whose classes there are not.

    Raises
    ------
    InputError
        If there is one.
    """
    _wanted(classes, options)


def _refuse_unknown(key: str, name: str, known: Sequence[str]) -> None:
    if name not in known:
        raise InputError(
            f"{key}: {name!r} is none of the classes {', '.join(known)} that can stand there; the "
            f"nearest is {nearest(name, known)}"
        )


def _point_name(signal: str, eps_s: float, num_signals: int) -> str:
    short = f"eff{100 * eps_s:.10g}".replace(".", "p")
    plain = "".join(letter if letter.isalnum() and letter.isascii() else "_" for letter in signal)
    return short if num_signals == 1 else f"{plain}_{short}"


def _table(
    jets: _Jets, axes: Sequence[Axis], score: Discriminant, asked: PointOptions, name: str
) -> PointTable:
    shape = tuple(len(axis.edges) - 1 for axis in axes)
    thresholds = np.empty(shape)
    efficiencies: dict[str, list[Estimate]] = {c: [] for c in jets.classes}
    others = asked.of or score.background
    for place in product(*map(range, shape)):
        inside = jets.inside(place)
        where = f"working point {name}" + (f", {_bin_text(axes, place)}" if place else "")
        thresholds[place] = _cut(inside, score, asked, others, where)
        passing = inside.scores >= thresholds[place]
        for other, found in efficiencies.items():
            own = inside.of([other])
            share = efficiency(passing[own], inside.weights[own])
            found.append(
                replace(share, value=short_decimal(share.value), error=short_decimal(share.error))
            )
    text = (
        f"efficiency {asked.efficiency:g} of {score.signal}"
        if asked.efficiency is not None
        else f"mistag rate {asked.mistag:g} of {' + '.join(others)}"
    )
    return PointTable(score, text, thresholds, {c: tuple(f) for c, f in efficiencies.items()})


def _cut(
    jets: _Jets, score: Discriminant, asked: PointOptions, others: Sequence[str], where: str
) -> float:
    """Return the threshold that keeps what is asked for."""
    is_signal, is_other = jets.of([score.signal]), jets.of(others)
    rows = is_signal | is_other
    curve = roc(jets.scores[rows], is_signal[rows], jets.weights[rows])
    if asked.efficiency is not None:
        share, kind, number = asked.efficiency, score.signal, curve.num_signal
    else:
        assert asked.mistag is not None
        share, kind, number = asked.mistag, " + ".join(others), curve.num_background
    if not number > 0:
        raise InputError(f"{where}: there are no jets of {kind}; give more jets, or other bins")
    needed = 1 / min(share, 1 - share)
    if number < needed * (1 - _ROUNDING):
        raise InputError(
            f"{where}: no jet of {kind} decides a cut that {share:g} of them pass: there are "
            f"{number:.3g} effective jets, and {needed:.4g} or more are needed; give more jets, or "
            "wider bins"
        )
    last = _last_passing(curve, asked)
    if last == 0:
        raise InputError(
            f"{where}: the highest score alone has more than {share:g} of the {kind}; give more "
            "jets, or wider bins"
        )
    return _halfway(curve, last)


def _last_passing(curve: Roc, asked: PointOptions) -> int:
    # With negative weights a looser cut may keep less: the tightest that reaches the share counts.
    eps_s, eps_b = (np.maximum.accumulate(column) for column in (curve.eps_s, curve.eps_b))
    if asked.efficiency is not None:
        first = int(np.searchsorted(eps_s, asked.efficiency - _ROUNDING, side="left"))
        return min(first, len(eps_s) - 1)
    assert asked.mistag is not None
    return int(np.searchsorted(eps_b, asked.mistag + _ROUNDING, side="right")) - 1


def _halfway(curve: Roc, last: int) -> float:
    """Return a cut between a point of the curve and the next, safe from rounding of the scores."""
    here = float(curve.thresholds[last])
    if last + 1 == len(curve.thresholds):
        return here
    after = float(curve.thresholds[last + 1])
    return short_decimal(0.5 * (here + after))


def short_decimal(value: float) -> float:
    """Return a number to 15 digits, 22 after the point at most, or NaN.

    The JSON parser of correctionlib, RapidJSON at its normal precision, is exact for these: one
    division of whole numbers that are exact in double precision. Of 17 digits it can miss the last
    bit.
    """
    return round(float(f"{value:.15g}"), 22)
