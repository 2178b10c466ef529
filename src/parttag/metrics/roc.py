"""The ROC of a score: efficiencies of every cut, and the rejection at a signal efficiency."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64

from parttag.errors import InputError
from parttag.metrics.estimate import Estimate, checked_weights, to_rejection

FEWEST_SIGNAL = 10.0
"""Signal jets on the smaller side of a cut, below which they do not say where it is."""
# Background jets nearest below a cut that none survives, whose weights the limit goes by.
_NEAREST = 20
# A rise of weights with the rank as steep as 1 would give the jets beyond the cut no mean weight.
_STEEPEST = 0.9


@dataclass(frozen=True, eq=False)
class Roc:
    """Signal and background efficiency of every cut on a score, from the tightest to the loosest.

    A jet passes a cut if its score is at least the threshold. Jets of equal score pass together,
    so that each threshold appears once; the first is +∞, which no jet passes.

    The variances are those of ``eps_s`` and ``eps_b`` at a fixed cut: binomial, with weighted jets
    [(1 − ε)² Σ_pass w² + ε² Σ_fail w²] / (Σ w)².

    With negative weights a looser cut may keep less. Between the points of such a curve nothing is
    interpolated: at a signal efficiency stands the tightest cut that keeps as much, with what that
    cut keeps.
    """

    thresholds: Float64[np.ndarray, " points"]
    eps_s: Float64[np.ndarray, " points"]
    eps_b: Float64[np.ndarray, " points"]
    signal_variance: Float64[np.ndarray, " points"]
    background_variance: Float64[np.ndarray, " points"]
    num_passing: Float64[np.ndarray, " points"]
    """Effective number of background jets that pass, (Σ w)² / Σ w²."""
    count_passing: Float64[np.ndarray, " points"]
    """Background jets that pass, each counted as one."""
    num_signal: float
    """Effective number of signal jets, (Σ w)² / Σ w²."""
    num_background: float
    """Effective number of background jets, (Σ w)² / Σ w²."""
    background_weights: Float64[np.ndarray, " background_jets"]
    """In order of falling score."""
    missing: str = ""
    """Why there are no efficiencies."""

    @cached_property
    def is_monotonic(self) -> bool:
        """Whether a looser cut never keeps less, of signal and of background."""
        return all(bool((np.diff(column) >= 0).all()) for column in (self.eps_s, self.eps_b))

    def background_efficiency(
        self, eps_s: Float64[np.ndarray, " cuts"]
    ) -> tuple[Float64[np.ndarray, " cuts"], Float64[np.ndarray, " cuts"]]:
        """Return ε_B at the given ε_S, linear between the points of the ROC, and its error.

        Where the curve is vertical, or not monotonic anywhere (with negative weights), ε_B is that
        of the tightest cut that reaches ε_S. The error has
        two causes: the background jets that pass, and the signal jets that say where the cut is,
        σ² = var(ε_B) + (dε_B/dε_S)² var(ε_S). The slope is that of the ROC within ``half_step``.
        """
        if not self._is_defined:
            return np.full_like(eps_s, np.nan), np.full_like(eps_s, np.nan)
        eps_b, variance, of_cut = self._at(
            eps_s, self.eps_b, self.background_variance, self.signal_variance
        )
        return eps_b, np.sqrt(variance + self.slope(eps_s) ** 2 * of_cut)

    def half_step(self, eps_s: Float64[np.ndarray, " cuts"]) -> Float64[np.ndarray, " cuts"]:
        """Return how far around ε_S the slope is taken: two errors of ε_S at most."""
        spread = 2 * np.sqrt(eps_s * (1 - eps_s) / max(self.num_signal, 1.0))
        half: Float64[np.ndarray, " cuts"]
        half = np.minimum(spread, np.minimum(eps_s, 1 - eps_s) / 2)
        return half

    def slope(self, eps_s: Float64[np.ndarray, " cuts"]) -> Float64[np.ndarray, " cuts"]:
        """Return dε_B/dε_S; 0 at the ends of the curve."""
        half = self.half_step(eps_s)
        (above,), (below,) = (self._at(eps_s + s * half, self.eps_b) for s in (1, -1))
        slope: Float64[np.ndarray, " cuts"]
        slope = np.divide(above - below, 2 * half, out=np.zeros_like(half), where=half > 0)
        return slope

    def rejection(self, eps_s: float) -> Estimate:
        """Return 1/ε_B at the given ε_S, with the error that ``background_efficiency`` has.

        If less than one background jet survives, the value is the lower limit at
        ``CONFIDENCE_LEVEL`` by the heaviest of the 20 background jets nearest below the cut, or by
        the mean weight of those beyond it where weights rise with the score. With less than ten
        effective signal jets on either side of the cut nothing is claimed, nor where background
        jets pass whose weights sum up to 0 or less.
        """
        if not self._is_defined:
            return Estimate(math.nan, reason=self.missing)
        deciding = self.num_signal * min(eps_s, 1 - eps_s)
        if deciding < FEWEST_SIGNAL:
            side = "below" if eps_s > 0.5 else "above"
            return Estimate(
                math.nan,
                reason=f"{deciding:.2g} effective signal jets {side} the cut do not say where it "
                f"is; {FEWEST_SIGNAL:.0f} are needed",
            )
        place = np.array([eps_s])
        eps_b, error = (float(array[0]) for array in self.background_efficiency(place))
        passing, count = (
            float(array[0]) for array in self._at(place, self.num_passing, self.count_passing)
        )
        if count >= 1 and eps_b <= 0:
            return Estimate(
                math.nan,
                reason=f"the weights of the {count:.0f} background jets that pass sum up to 0 or "
                "less",
            )
        comparable = (
            _over_weight_beyond(self.background_weights) if count < 1 else self.num_background
        )
        return to_rejection(eps_b, error, comparable, passing, is_limit=count < 1)

    def threshold(self, eps_s: float) -> float:
        """Return the highest score at which a cut keeps at least ``eps_s`` of the signal."""
        if not self._is_defined:
            return math.nan
        return float(self.thresholds[self._first_reaching(np.array([eps_s]))[0]])

    def kept(self, eps_s: float) -> float:
        """Return the signal efficiency of that cut: more than ``eps_s`` where scores are tied."""
        if not self._is_defined:
            return math.nan
        return float(self.eps_s[self._first_reaching(np.array([eps_s]))[0]])

    @property
    def _is_defined(self) -> bool:
        return not (np.isnan(self.eps_s).any() or np.isnan(self.eps_b).any())

    def _first_reaching(self, eps_s: Float64[np.ndarray, " cuts"]) -> Int64[np.ndarray, " cuts"]:
        # Rounding may leave the last efficiency a hair under 1.
        most = np.maximum.accumulate(self.eps_s)  # with negative weights more than a looser cut has
        return np.searchsorted(most, eps_s, side="left").clip(max=len(most) - 1)

    def _at(
        self, eps_s: Float64[np.ndarray, " cuts"], *columns: Float64[np.ndarray, " points"]
    ) -> list[Float64[np.ndarray, " cuts"]]:
        """Return what the curve has at these ε_S, linear between its points if it is monotonic."""
        above = self._first_reaching(eps_s)
        if not self.is_monotonic:
            return [values[above] for values in columns]
        below = np.maximum(above - 1, 0)
        step = self.eps_s[above] - self.eps_s[below]
        part = np.divide(eps_s - self.eps_s[below], step, out=np.zeros_like(step), where=step > 0)
        return [values[below] + part * (values[above] - values[below]) for values in columns]


def weight_over_nearest(
    scores: Float64[np.ndarray, " jets"], jet_weights: Float64[np.ndarray, " jets"]
) -> float:
    """Return Σw over the weight that jets beyond the highest score may have, of any weight."""
    order = np.argsort(scores, kind="stable")[::-1]
    weights = jet_weights[order]
    return _over_weight_beyond(weights[weights != 0])


def _over_weight_beyond(falling: Float64[np.ndarray, " jets"]) -> float:
    """Return Σw over the weight of a jet beyond the first, of weights in order of falling score.

    That is the largest of the first 20, or more where weights rise towards the first: a straight
    line is fitted to ln w against ln rank of the 20, w = w_1 rank^−a, and jets beyond it weigh
    w_1/(1 − a) on average, for their ranks would be uniform below the first.

    Negative weights count as large as they are: if jets of both signs are expected beyond the first
    and none is there, there are few of either.
    """
    nearest = np.abs(falling[:_NEAREST])
    heaviest = float(nearest.max())
    if len(nearest) > 2:
        log_rank = np.log(np.arange(1, len(nearest) + 1))
        slope, at_first = np.polyfit(log_rank, np.log(nearest), 1)
        if slope < 0:
            steepness = min(-float(slope), _STEEPEST)
            heaviest = max(heaviest, math.exp(at_first) / (1 - steepness))
    return float(falling.sum()) / heaviest


def roc(
    scores: Float[np.ndarray, " jets"],
    is_signal: Bool[np.ndarray, " jets"],
    jet_weights: Float[np.ndarray, " jets"] | None = None,
) -> Roc:
    """Return the ROC of a score that is higher for signal; NaN efficiencies without either kind."""
    jet_weights = checked_weights(jet_weights, len(scores))
    order = np.argsort(scores, kind="stable")[::-1]
    scores, is_signal, jet_weights = scores[order], is_signal[order], jet_weights[order]
    last_of_tie = np.diff(scores, append=-np.inf) != 0

    def passing(values: Float64[np.ndarray, " jets"]) -> Float64[np.ndarray, " points"]:
        return np.concatenate([[0.0], np.cumsum(values)[last_of_tie]])

    of_signal, of_background = (
        np.where(is_signal, jet_weights, 0),
        np.where(is_signal, 0, jet_weights),
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        eps_s, signal_variance, num_signal, _ = _efficiencies(
            passing(of_signal), passing(of_signal**2)
        )
        eps_b, background_variance, num_background, num_passing = _efficiencies(
            passing(of_background), passing(of_background**2)
        )
    return Roc(
        thresholds=np.concatenate([[np.inf], scores[last_of_tie]]),
        eps_s=eps_s,
        eps_b=eps_b,
        signal_variance=signal_variance,
        background_variance=background_variance,
        num_passing=num_passing,
        count_passing=passing((of_background != 0).astype(np.float64)),
        num_signal=num_signal,
        num_background=num_background,
        background_weights=of_background[of_background != 0],
        missing=_missing(of_signal, "signal") or _missing(of_background, "background"),
    )


def _missing(jet_weights: Float64[np.ndarray, " jets"], name: str) -> str:
    """Return why nothing can be said of jets; nothing if their weights have a sum to divide by."""
    if jet_weights.sum() > 0:
        return ""
    if not jet_weights.any():
        return f"there are no {name} jets"
    return f"the weights of the {name} jets sum up to 0 or less"


def _efficiencies(
    sums: Float64[np.ndarray, " points"], squares: Float64[np.ndarray, " points"]
) -> tuple[
    Float64[np.ndarray, " points"],
    Float64[np.ndarray, " points"],
    float,
    Float64[np.ndarray, " points"],
]:
    """Return efficiency, its variance, the effective number in all, and of those that pass."""
    share = sums / (sums[-1] if sums[-1] > 0 else math.nan)
    variance = (1 - share) ** 2 * squares + share**2 * (squares[-1] - squares)
    positive = np.maximum(sums, 0)
    numbers = np.divide(positive**2, squares, out=np.zeros_like(sums), where=squares > 0)
    return share, variance / sums[-1] ** 2, float(numbers[-1]), numbers


def rejection_interval(
    scores: Float[np.ndarray, " jets"],
    is_signal: Bool[np.ndarray, " jets"],
    eps_s: float,
    weights: Float[np.ndarray, " jets"] | None = None,
) -> Estimate:
    """Return the background rejection 1/ε_B of a cut that keeps ``eps_s`` of the signal.

    Parameters
    ----------
    scores
        Higher for signal; logarithms of ratios of probabilities, or logits, are better than
        probabilities in float32, which tie the best jets at 1.
    is_signal
        Which jets are of the signal; all others are background.
    eps_s
        The signal efficiency, between 0 and 1.
    weights
        Of the jets; they may be negative.

    Returns
    -------
    Estimate
        With ``value``, the ends ``low`` and ``high`` of its 68 % interval, ``interval(0.95)`` for
        that of another confidence, and ``is_limit``: no background jet passes, and the value is a
        lower limit at 95 % confidence. NaN with a ``reason`` where the jets do not determine it.

    Raises
    ------
    InputError
        If ``eps_s`` is not between 0 and 1, the arrays are not of one length, or a score or weight
        is none.

    References
    ----------
    ln R is normal with the variance (1 − ε_B)/k + (dln ε_B/dε_S)² ε_S (1 − ε_S)/N_S, where k
    background jets pass and N_S signal jets place the cut: the delta method for a sample quantile
    (van der Vaart, Asymptotic Statistics, 1998, chapters 3 and 21).

    Examples
    --------
    >>> import numpy as np
    >>> from parttag.metrics import rejection_interval
    >>> scores = np.concatenate([np.linspace(0, 2, 1000), np.linspace(-1, 1.05, 1000)])
    >>> rejection_interval(scores, np.arange(2000) < 1000, 0.5)
    Estimate(42 +36 −19)
    """
    scores, is_signal = np.asarray(scores), np.asarray(is_signal).astype(bool)
    if weights is not None:
        weights = np.asarray(weights)
    if any(len(array) != len(scores) for array in (is_signal, weights) if array is not None):
        raise InputError(
            "scores, is_signal and weights are not of one length; give one value a jet in each"
        )
    if not 0 < eps_s < 1:
        raise InputError(f"eps_s={eps_s!r} is no signal efficiency; give one between 0 and 1")
    if not np.isfinite(scores).all():
        raise InputError("some scores are not finite; leave these jets out")
    return roc(scores, is_signal, weights).rejection(eps_s)
