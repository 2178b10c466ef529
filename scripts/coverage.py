"""What the errors of parttag hold: toys of known truth, and how often the intervals have it.

    python scripts/coverage.py              # all, in some minutes on one core
    python scripts/coverage.py rejections seeds --toys 0.2

Scores are normal: background at 0, signal shifted so that a cut that keeps ε_S of it lets k
background jets pass on average.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

NORMAL = NormalDist()
TOP_AND_QCD = ("top", "QCD")


@dataclass(frozen=True)
class Toys:
    """Samples of one kind, whose rejection at ``eps_s`` is known."""

    num_signal: int
    num_background: int
    eps_s: float
    passing: float
    """Background jets that pass, on average."""
    weights: str = "equal"
    """``equal``, ``moderate`` (0.5 to 2), or those that rise or fall with the score."""

    @property
    def rejection(self) -> float:
        """The truth; weights that go with the score change it."""
        cut = NORMAL.inv_cdf(1 - self.passing / self.num_background)
        shift = {"rising": 1.0, "falling": -1.0}.get(self.weights, 0.0)
        # exp(±s) of a normal score is, as a weight, a normal score shifted by ±1.
        return 1 / (1 - NORMAL.cdf(cut - shift))

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Return scores, which are signal, and weights."""
        cut = NORMAL.inv_cdf(1 - self.passing / self.num_background)
        mean = cut + NORMAL.inv_cdf(self.eps_s)
        number = self.num_signal + self.num_background
        scores = rng.normal(size=number)
        is_signal = np.arange(number) < self.num_signal
        scores[is_signal] += mean
        if self.weights == "moderate":
            return scores, is_signal, rng.uniform(0.5, 2, number)
        if self.weights in ("rising", "falling"):
            sign = 1 if self.weights == "rising" else -1
            return scores, is_signal, np.where(is_signal, 1.0, np.exp(sign * scores))
        return scores, is_signal, None


@dataclass
class Counts:
    """How often intervals held the truth."""

    toys: int = 0
    one_sigma: int = 0
    two_sigma: int = 0
    limits: int = 0
    false_limits: int = 0

    def add(self, estimate, truth: float) -> None:
        """Count one estimate; one that is not known is not counted."""
        if math.isnan(estimate.value):
            return
        self.toys += 1
        if estimate.is_limit:
            self.limits += 1
            self.false_limits += estimate.value > truth
        for name, confidence in (("one_sigma", math.erf(math.sqrt(0.5))), ("two_sigma", 0.95)):
            low, high = estimate.interval(confidence)
            setattr(self, name, getattr(self, name) + (low <= truth <= high))

    def __str__(self) -> str:
        """Return the shares."""
        if not self.toys:
            return "nothing is claimed: too few signal jets"
        shares = [n / self.toys for n in (self.one_sigma, self.two_sigma, self.false_limits)]
        return f"{shares[0]:.3f} / {shares[1]:.3f}, false limits {shares[2]:.3f}"


def cover(toys: Toys, number: int, seed: int = 0) -> Counts:
    """Return how often the interval of the rejection holds the truth."""
    from parttag.metrics import rejection_interval

    rng, counts = np.random.default_rng(seed), Counts()
    for _ in range(number):
        scores, is_signal, weights = toys.draw(rng)
        counts.add(rejection_interval(scores, is_signal, toys.eps_s, weights), toys.rejection)
    return counts


def rejections(scale: float) -> Iterator[str]:
    """Yield coverages of rejections, 68 % and 95 %, and limits that are false."""
    sizes = [
        (250, 250, 1000),
        (250, 5000, 1000),
        (5000, 5000, 800),
        (5000, 100_000, 100),
        (200_000, 200_000, 100),
    ]
    for num_signal, num_background, number in sizes:
        for eps_s in (0.3, 0.5, 0.99):
            for passing in (5, 20, 100):
                for weights in ("equal", "moderate"):
                    toys = Toys(num_signal, num_background, eps_s, passing, weights)
                    if number == 100 and (passing == 20 or weights != "equal"):
                        continue
                    found = cover(toys, max(int(scale * number), 20))
                    jets = f"{num_signal:,}+{num_background:,}"
                    yield f"{jets} {eps_s} k={passing} {weights}: {found}"


def limits(scale: float) -> Iterator[str]:
    """Yield how often a limit is above the truth: 5 % of all toys are allowed."""
    for weights in ("equal", "moderate", "rising", "falling"):
        for passing in (0.5, 1, 2, 3):
            toys = Toys(5000, 5000, 0.5, passing, weights)
            yield f"k={passing} {weights}: {cover(toys, max(int(scale * 1500), 20))}"


def cover_bins(number: int, seed: int = 0) -> dict[str, Counts]:
    """Return coverages in bins of pT: with a cut in each, with one cut, and of its efficiency."""
    from parttag.metrics import EvaluationOptions, measure_by_pt

    rng = np.random.default_rng(seed)
    options = EvaluationOptions(background="QCD", working_points=[0.5])
    counts = {name: Counts() for name in ("a cut in each", "one cut", "its efficiency")}
    truth = 1 / (1 - NORMAL.cdf(1.8))
    for _ in range(number):
        labels = np.repeat([0, 1], [1000, 5000])
        scores = rng.normal(size=6000) + 1.8 * (labels == 0)
        logits = np.stack([scores, np.zeros(6000)], axis=1)
        pt = rng.uniform(500, 1000, 6000)
        found = measure_by_pt(logits, labels, TOP_AND_QCD, pt, None, options)
        for name, estimates, expected in (
            ("a cut in each", found.rejection, truth),
            ("one cut", found.one_cut_rejection, truth),
            ("its efficiency", found.one_cut_eps_s, 0.5),
        ):
            for estimate in estimates["top"][0.5]:
                counts[name].add(estimate, expected)
    return counts


def pt_bins(scale: float) -> Iterator[str]:
    """Yield coverages in bins of pT: 1,000 signal and 5,000 background jets in five bins."""
    for name, counts in cover_bins(max(int(scale * 300), 5)).items():
        yield f"{name}: {counts}"


def tables(passing: float, number: int, seeds: int = 3, seed: int = 0) -> tuple[float, float]:
    """Return the bias of a table's rejection over seeds, and the share of tables with false limits.

    The trainings see the same test jets and their scores go together to 90 %.
    """
    from parttag.benchmarks.results import over_seeds
    from parttag.metrics import rejection_interval

    rng, toys = np.random.default_rng(seed), Toys(5000, 5000, 0.5, passing)
    values, false = [], 0
    for _ in range(number):
        scores, is_signal, _ = toys.draw(rng)
        mean = np.where(is_signal, NORMAL.inv_cdf(1 - passing / 5000), 0.0)
        common = scores - mean
        estimates = [
            rejection_interval(
                mean + math.sqrt(0.9) * common + math.sqrt(0.1) * rng.normal(size=10_000),
                is_signal,
                0.5,
            )
            for _ in range(seeds)
        ]
        found = over_seeds(estimates)
        if found.is_limit:
            false += found.value > toys.rejection
        else:
            values.append(found.value / toys.rejection)
    return float(np.mean(values)) - 1, false / number


def seeds(scale: float) -> Iterator[str]:
    """Yield bias and false limits of tables over three seeds."""
    for passing in (2, 3, 5, 10, 20):
        bias, false = tables(passing, max(int(scale * 500), 20))
        yield f"k={passing}: bias {bias:+.1%}, false limits in {false:.1%} of the tables"


def paired(scale: float) -> Iterator[str]:
    """Yield true spreads of the differences of two taggers, and their errors over them."""
    number = max(int(scale * 400), 20)
    for correlation in (0.0, 0.7, 0.9, 0.97):
        true, errors, naive = paired_errors(correlation, number)
        shown = [
            f"{name} true {t:.5f}, paired {e / t:.2f}, in quadrature {n / t:.2f}"
            for name, t, e, n in zip(("accuracy", "AUC", "ln R"), true, errors, naive, strict=True)
        ]
        yield f"correlation {correlation}: {'; '.join(shown)}"


def paired_errors(
    correlation: float, number: int, num_jets: int = 10_000, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return true spreads of accuracy, AUC and ln R, root mean square of the errors, and naive."""
    from parttag.metrics import EvaluationOptions
    from parttag.metrics.paired import influences

    rng = np.random.default_rng(seed)
    options = EvaluationOptions(background="QCD", working_points=[0.5])
    labels = np.repeat([0, 1], num_jets // 2)
    rows = []
    for _ in range(number):
        common, own = rng.normal(size=num_jets), rng.normal(size=(2, num_jets))
        scores = math.sqrt(correlation) * common + math.sqrt(1 - correlation) * own
        scores += 2.2 * (labels == 0)
        found = [
            influences(np.stack([s, np.full(num_jets, 1.1)], 1), labels, TOP_AND_QCD, None, options)
            for s in scores
        ]
        pairs = [[of[name] for of in found] for name in ("accuracy", "auc")]
        pairs.append([of[("top", 0.5)].as_log_rejection() for of in found])
        differences = [one.minus(other) for one, other in pairs]
        quadrature = [math.hypot(one.error, other.error) for one, other in pairs]
        rows.append([[d.value for d in differences], [d.error for d in differences], quadrature])
    values, errors, naive = np.swapaxes(np.array(rows), 0, 1)
    mean_square = [np.sqrt((column**2).mean(axis=0)) for column in (errors, naive)]
    return values.std(axis=0, ddof=1), *mean_square


def false_alarms(weights: str, passing: int, number: int, seed: int = 0) -> float:
    """Return how often a score without mass in it is two spreads beyond chance."""
    from parttag.metrics import measure_sculpting

    rng, alarms = np.random.default_rng(seed), 0
    labels = np.ones(5000, dtype=np.int64)
    for toy in range(number):
        mass, scores = rng.exponential(60.0, 5000), rng.normal(size=5000)
        jet_weights = {
            "equal": np.ones(5000),
            "rising": np.exp(scores),
            "falling": np.exp(-scores),
            "broad": rng.gamma(1.0, 1.0, 5000),
        }[weights]
        passed = {"top": scores >= np.sort(scores)[-passing]}
        found = measure_sculpting(mass, labels, TOP_AND_QCD, passed, jet_weights, seed=toy)["top"]
        chance = found.by_chance
        alarms += found.jensen_shannon > chance.value + 2 * chance.error
    return alarms / number


def sculpting_bias(passing: int, number: int, seed: int = 0) -> tuple[float, float, float]:
    """Return the distance of a cut that knows the mass, and biases of distance and excess."""
    from parttag.metrics import measure_sculpting
    from parttag.metrics.sculpting import jensen_shannon

    def kept(mass: np.ndarray) -> np.ndarray:
        return 0.2 + 0.8 * np.exp(-(((mass - 170) / 40) ** 2) / 2)

    rng = np.random.default_rng(seed)
    many = rng.exponential(60.0, 2_000_000)
    bins = np.searchsorted(np.quantile(many, np.arange(1, 20) / 20), many)
    after, before = np.bincount(bins, weights=kept(many)), np.bincount(bins).astype(float)
    truth = float(jensen_shannon(after[None], before)[0])
    labels, found = np.ones(5000, dtype=np.int64), []
    for toy in range(number):
        mass = rng.exponential(60.0, 5000)
        share = kept(mass)
        passed = np.zeros(5000, dtype=bool)
        passed[rng.choice(5000, passing, replace=False, p=share / share.sum())] = True
        one = measure_sculpting(mass, labels, TOP_AND_QCD, {"top": passed}, seed=toy)["top"]
        found.append([one.jensen_shannon, one.excess])
    raw, excess = np.mean(found, axis=0) - truth
    return truth, float(raw), float(excess)


def sculpting(scale: float) -> Iterator[str]:
    """Yield the bias of the sculpting distance, and false alarms."""
    number = max(int(scale * 200), 10)
    for passing in (20, 60, 300):
        truth, raw, excess = sculpting_bias(passing, number)
        yield f"{passing} jets pass, truth {truth:.2f}: distance {raw:+.3f}, excess {excess:+.3f}"
    for weights in ("equal", "rising", "falling", "broad"):
        rates = [f"{n}: {false_alarms(weights, n, number):.1%}" for n in (20, 100)]
        yield f"false alarms, weights {weights}, by jets that pass: {', '.join(rates)}"


def timing(scale: float) -> Iterator[str]:
    """Yield the time of all metrics of 400,000 jets; works with older versions of parttag too."""
    from parttag.metrics import measure

    rng, number = np.random.default_rng(0), int(400_000 * min(scale, 1.0))
    labels = rng.integers(0, 2, number)
    logits = rng.normal(size=(number, 2)) + 2 * np.eye(2)[labels]
    pt, mass = rng.uniform(500, 1000, number), rng.exponential(60.0, number)
    some = slice(1000)  # once before, for what is imported when it is first needed
    measure(logits[some], labels[some], TOP_AND_QCD, jet_pt=pt[some], jet_mass=mass[some])
    start = time.process_time()
    measure(logits, labels, TOP_AND_QCD, jet_pt=pt, jet_mass=mass)
    yield f"{number:,} jets: {time.process_time() - start:.2f} s of processor time"


STUDIES: dict[str, Callable[[float], Iterator[str]]] = {
    study.__name__: study
    for study in (rejections, limits, pt_bins, seeds, paired, sculpting, timing)
}


def main() -> None:
    """Run the studies that are named, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("studies", nargs="*", help=f"of {', '.join(STUDIES)}; all by default")
    parser.add_argument("--toys", type=float, default=1.0, help="this part of the toys")
    given = parser.parse_args()
    unknown = [name for name in given.studies if name not in STUDIES]
    if unknown:
        parser.error(f"no such study: {', '.join(unknown)}; known: {', '.join(STUDIES)}")
    for name in given.studies or STUDIES:
        print(f"{name}: {STUDIES[name].__doc__.splitlines()[0]}", flush=True)
        for line in STUDIES[name](given.toys):
            print(f"    {line}", flush=True)


if __name__ == "__main__":
    main()
