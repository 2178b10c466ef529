"""Whether AUC, rejection and their errors hold where a part of the jets has negative weights.

A toy has two samples of the same distribution: jets of weight 1, and jets of weights 1 and −1, a
fifth of them negative, which stand for as many. Positive and negative jets have scores of other
distributions than their difference: 0.8 p₊ − 0.2 p₋ = 0.6 f. So weights go with the score, as
those of generators at next-to-leading order do.

    python scripts/signed_weights.py --toys 200
"""

import argparse
import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from parttag import metrics
from parttag.metrics import Estimate, EvaluationOptions

SEPARATION = 1.5
"""Of the means of signal and background scores, both Gaussians of width 1."""
NEGATIVE = 0.2
"""Share of jets of negative weight."""
EPS_S = 0.5
OPTIONS = EvaluationOptions(metrics=["auc", "rejection"], working_points=[EPS_S])


def truths() -> dict[str, float]:
    """Return what infinitely many jets have: the AUC, and ln of the rejection."""
    normal = NormalDist()
    eps_b = 1 - normal.cdf(normal.inv_cdf(1 - EPS_S) + SEPARATION)
    return {"AUC": normal.cdf(SEPARATION / math.sqrt(2)), "ln R": -math.log(eps_b)}


def of_weight_one(rng: np.random.Generator, mean: float, number: int) -> np.ndarray:
    """Return scores of one class."""
    return rng.normal(mean, 1, number)


def signed(rng: np.random.Generator, mean: float, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Return scores and weights, of sum ``number`` on average, of the same distribution."""
    number_drawn = round(number / (1 - 2 * NEGATIVE))
    is_negative = rng.random(number_drawn) < NEGATIVE
    # Of the positive ones so many are there to make up for the negative ones.
    other = is_negative | (rng.random(number_drawn) < NEGATIVE / (1 - NEGATIVE))
    scores = np.where(
        other, rng.normal(mean + 0.5, 1.5, number_drawn), rng.normal(mean, 1, number_drawn)
    )
    return scores, np.where(is_negative, -1.0, 1.0)


def measured(
    scores: tuple[np.ndarray, np.ndarray], weights: tuple[np.ndarray, np.ndarray] | None
) -> dict[str, Estimate]:
    """Return AUC and ln R of signal and background."""
    both = np.concatenate(scores)
    labels = np.repeat([0, 1], [len(own) for own in scores])
    logits = np.stack([both, np.zeros_like(both)], axis=1)
    jet_weights = None if weights is None else np.concatenate(weights)
    report = metrics.measure(logits, labels, ("top", "QCD"), jet_weights, OPTIONS)
    rejection = report.rejection["top"][EPS_S]
    relative = rejection.error / rejection.value
    return {"AUC": report.auc, "ln R": Estimate(math.log(rejection.value), relative)}


@dataclass(frozen=True)
class Found:
    """Of one quantity in all toys."""

    truth: float
    values: tuple[np.ndarray, np.ndarray]
    """Of jets of weight 1, and of signed weights."""
    errors: tuple[np.ndarray, np.ndarray]

    @property
    def bias(self) -> tuple[float, float]:
        """Mean less truth, in errors of the mean."""
        first, second = (
            (own.mean() - self.truth) / (own.std(ddof=1) / math.sqrt(len(own)))
            for own in self.values
        )
        return float(first), float(second)

    @property
    def error_ratios(self) -> tuple[float, float]:
        """Quoted error over the spread of the toys."""
        first, second = (
            math.sqrt((quoted**2).mean()) / own.std(ddof=1)
            for quoted, own in zip(self.errors, self.values, strict=True)
        )
        return float(first), float(second)

    @property
    def pulls(self) -> np.ndarray:
        """Differences of both samples of a toy, in their errors."""
        difference: np.ndarray = self.values[1] - self.values[0]
        return difference / np.hypot(*self.errors)


def run(toys: int, number: int, seed: int = 0) -> dict[str, Found]:
    """Return what so many toys give, each of so many jets of weight 1 of each class."""
    rng = np.random.default_rng(seed)
    rows: dict[str, list[tuple[Estimate, Estimate]]] = {name: [] for name in truths()}
    for _ in range(toys):
        ones = tuple(of_weight_one(rng, mean, number) for mean in (SEPARATION, 0.0))
        pairs = [signed(rng, mean, number) for mean in (SEPARATION, 0.0)]
        plain = measured((ones[0], ones[1]), None)
        other = measured((pairs[0][0], pairs[1][0]), (pairs[0][1], pairs[1][1]))
        for name in rows:
            rows[name].append((plain[name], other[name]))
    return {
        name: Found(
            truths()[name],
            *(
                tuple(np.array([getattr(toy[side], key) for toy in own]) for side in (0, 1))
                for key in ("value", "error")
            ),
        )
        for name, own in rows.items()
    }


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--toys", type=int, default=200)
    parser.add_argument("--jets", type=int, default=5000, help="of weight 1, of each class")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print("| | truth | mean, weight 1 | mean, signed | bias/its error | error/spread | pull |")
    print("|---|---|---|---|---|---|---|")
    for name, found in run(given.toys, given.jets, given.seed).items():
        means = [f"{own.mean():.4f}" for own in found.values]
        bias = " , ".join(f"{own:+.2f}" for own in found.bias)
        ratios = ", ".join(f"{own:.2f}" for own in found.error_ratios)
        pulls = found.pulls
        print(
            f"| {name} | {found.truth:.4f} | {means[0]} | {means[1]} | {bias} | {ratios} | "
            f"{pulls.mean():+.2f} ± {1 / math.sqrt(len(pulls)):.2f}, width {pulls.std(ddof=1):.2f} "
            f"± {1 / math.sqrt(2 * len(pulls)):.2f} |"
        )


if __name__ == "__main__":
    main()
