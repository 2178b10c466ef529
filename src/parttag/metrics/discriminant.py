"""Which classes are told apart from which, and by which score."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64

from parttag.errors import InputError
from parttag.metrics.classification import log_sum_exp
from parttag.metrics.estimate import checked_weights
from parttag.metrics.options import DEFAULTS, EvaluationOptions
from parttag.metrics.roc import Roc, roc
from parttag.options import nearest


@dataclass(frozen=True)
class Discriminant:
    """The score of one signal class, ln p_S − ln Σ f_b p_b, and the background that it rejects."""

    signal: str
    background: tuple[str, ...]
    """The classes whose jets are rejected, all of them together."""
    fractions: Mapping[str, float]
    """f of each class in the score."""
    classes: tuple[str, ...]
    """All classes, in the order of the logits."""
    working_points: tuple[float, ...]
    """Signal efficiencies at which the rejection is quoted."""

    def __call__(self, logits: Float[np.ndarray, "jets classes"]) -> Float64[np.ndarray, " jets"]:
        """Return the score in float64, where a softmax of float32 would tie the best jets at 1."""
        wide = logits.astype(np.float64)
        others = [self.classes.index(name) for name in self.fractions]
        shifted = wide[:, others] + np.log(np.array(list(self.fractions.values())))
        score: Float64[np.ndarray, " jets"] = wide[:, self._number] - log_sum_exp(shifted)
        return score

    def is_signal(self, labels: Int64[np.ndarray, " jets"]) -> Bool[np.ndarray, " jets"]:
        """Return which jets are of the signal class."""
        signal: Bool[np.ndarray, " jets"] = labels == self._number
        return signal

    def is_background(self, labels: Int64[np.ndarray, " jets"]) -> Bool[np.ndarray, " jets"]:
        """Return which jets are of a class of the background."""
        return np.isin(labels, [self.classes.index(name) for name in self.background])

    @property
    def background_name(self) -> str:
        """The classes of the background, for texts."""
        return " + ".join(self.background)

    @property
    def formula(self) -> str:
        """The score as a formula: ``ln [ p(top) / p(QCD) ]``."""
        terms = [
            f"p({name})" if fraction == 1 else f"{fraction:g} p({name})"
            for name, fraction in self.fractions.items()
        ]
        below = terms[0] if len(terms) == 1 else f"({' + '.join(terms)})"
        return f"ln [ p({self.signal}) / {below} ]"

    @property
    def _number(self) -> int:
        return self.classes.index(self.signal)


def background_of(classes: Sequence[str], options: EvaluationOptions) -> tuple[str, ...]:
    """Return the classes that the others are told apart from; none for several without a choice.

    Raises
    ------
    InputError
        If ``options.background`` names no class, or all of them.
    """
    if options.background is None:
        return (classes[1],) if len(classes) == 2 else ()
    background = tuple(dict.fromkeys(options.background))
    _refuse_unknown("background", background, classes)
    if not background or set(background) == set(classes):
        raise InputError(
            "evaluation.background: name one class or several, and leave one or more to be signal "
            f"(the classes are {', '.join(classes)})"
        )
    return background


def discriminants(classes: Sequence[str], options: EvaluationOptions) -> dict[str, Discriminant]:
    """Return the score of each signal class; none for classes without a background.

    Raises
    ------
    InputError
        If the options name a class that there is not, or that is no signal.
    """
    background = background_of(classes, options)
    points = options.working_points
    by_class = {"discriminant": options.discriminant} | (
        {"working_points": points} if isinstance(points, dict) else {}
    )
    for key, named in by_class.items():
        if named and not background:
            raise InputError(
                f"evaluation.{key}: there is no background among {len(classes)} classes; name it "
                "in evaluation.background"
            )
        _refuse_unknown(key, named, [name for name in classes if name not in background])
    found = {}
    for signal in classes:
        if background and signal not in background:
            fractions = options.discriminant.get(signal) or dict.fromkeys(background, 1.0)
            others = [name for name in classes if name != signal]
            _refuse_unknown(f"discriminant.{signal}", fractions, others)
            found[signal] = Discriminant(
                signal, background, fractions, tuple(classes), options.points_of(signal)
            )
    return found


def _refuse_unknown(key: str, names: Iterable[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            raise InputError(
                f"evaluation.{key}: {name!r} is none of the classes {', '.join(known)} that can "
                f"stand there; the nearest is {nearest(name, known)}"
            )


def class_rocs(
    logits: Float[np.ndarray, "jets classes"],
    labels: Int64[np.ndarray, " jets"],
    classes: Sequence[str],
    jet_weights: Float[np.ndarray, " jets"] | None = None,
    options: EvaluationOptions = DEFAULTS,
) -> dict[str, Roc]:
    """Return the ROC of every signal class against the background, on the jets of both.

    Thresholds are on the scores of ``discriminants``.
    """
    jet_weights = checked_weights(jet_weights, len(labels))
    rocs = {}
    for name, score in discriminants(classes, options).items():
        is_signal = score.is_signal(labels)
        rows = is_signal | score.is_background(labels)
        rocs[name] = roc(score(logits[rows]), is_signal[rows], jet_weights[rows])
    return rocs


def passing_jets(
    logits: Float[np.ndarray, "jets classes"],
    classes: Sequence[str],
    rocs: Mapping[str, Roc],
    options: EvaluationOptions = DEFAULTS,
) -> dict[str, Bool[np.ndarray, " jets"]]:
    """Return which jets pass each signal class's cut: the tightest that keeps its share of signal.

    Parameters
    ----------
    rocs
        Of ``class_rocs``; where there is no such cut, for lack of jets, none passes.
    options
        Their ``sculpting_eps_s`` is the share.
    """
    scores = discriminants(classes, options)
    return {
        name: scores[name](logits) >= curve.threshold(options.sculpting_eps_s)
        for name, curve in rocs.items()
    }
