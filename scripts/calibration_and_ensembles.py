"""What calibration, ensembles and working points do for trained runs, as the tables of the docs.

Example: python scripts/calibration_and_ensembles.py RUN1 RUN2 RUN3 --val val.h5 --test test.h5

Temperatures are fitted to the validation jets, thresholds are made with one half of the test jets,
and all else is measured on the test jets. The ensemble is that of ``parttag.ensemble``.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import parttag as pt
from parttag.evaluation.scores import Scores
from parttag.metrics import EvaluationOptions, measure
from parttag.metrics.calibration import fit_temperature, measure_reliability
from parttag.metrics.working_points import WorkingPoints, measure_working_points

TOYS = 200


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", help="finished runs that are not calibrated")
    parser.add_argument("--val", required=True, help="labelled jets to calibrate on")
    parser.add_argument("--test", required=True, help="labelled jets to measure on")
    given = parser.parse_args()
    scored = {}
    for directory in given.runs:
        run = pt.load(directory)
        scored[Path(directory).name] = (run.predict(given.val), run.predict(given.test))
    with tempfile.TemporaryDirectory() as folder:
        whole = pt.ensemble(given.runs, Path(folder) / "ensemble")
        members = list(scored.values())
        check = whole.predict(given.test)
        scored["ensemble"] = (_mean([val for val, _ in members], members[0][0]), check)
        _check(check, [test for _, test in members])
    options = pt.load(given.runs[0]).config.evaluation
    _print_taggers(scored, options)
    _print_working_points(scored, options)


def _mean(parts: list[Scores], first: Scores) -> Scores:
    logits = [_log_softmax(part.logits) for part in parts]
    mean = np.logaddexp.reduce(logits) - np.log(len(parts))
    return Scores(**{**vars(first), "logits": mean.astype(np.float32)})


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    wide = logits.astype(np.float64)
    difference: np.ndarray = wide - np.logaddexp.reduce(wide, axis=1)[:, None]
    return difference


def _check(ensemble: Scores, members: list[Scores]) -> None:
    largest = np.abs(ensemble.logits - _mean(members, members[0]).logits).max()
    print(f"ensemble's logits against the mean of its members: largest difference {largest:.1e}\n")


def _print_taggers(scored: dict[str, tuple[Scores, Scores]], options: EvaluationOptions) -> None:
    print(
        "| tagger | accuracy | AUC | rejections | loss | loss, calibrated | T | error | error, "
        "calibrated | by chance |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name, (val, test) in scored.items():
        fitted = fit_temperature(val.logits, val.labels, val.jet_weights)
        found = measure(test.logits, test.labels, test.classes, test.jet_weights, options)
        scaled = test.logits / np.float32(fitted.value)
        after = measure(scaled, test.labels, test.classes, test.jet_weights, options)
        plain, calibrated = (
            measure_reliability(z, test.labels, test.classes, test.jet_weights).highest
            for z in (test.logits, scaled)
        )
        rejections = "; ".join(
            f"{e} at {eps_s:g}"
            for points in found.rejection.values()
            for eps_s, e in points.items()
        )
        print(
            f"| {name} | {found.accuracy} | {found.auc} | {rejections} | {found.loss:.4f} | "
            f"{after.loss:.4f} | {fitted.value:.3f} ± {fitted.error:.3f} | {plain.error} | "
            f"{calibrated.error} | {calibrated.by_chance} |"
        )


def _print_working_points(
    scored: dict[str, tuple[Scores, Scores]], options: EvaluationOptions
) -> None:
    """Print pulls of efficiencies on one half of the jets, of cuts made with the other."""
    print("\n| tagger | point | bin of pT | asked | mean on other jets | mean pull | its spread |")
    print("|---|---|---|---|---|---|---|")
    for name, (_, test) in scored.items():
        edges = np.quantile(test.jet_pt, [0, 1 / 3, 2 / 3, 1]).tolist()
        edges[-1] = float(np.nextafter(edges[-1], np.inf))
        tables = {
            "points": {"half": {"efficiency": 0.5}, "few": {"mistag": 0.05}},
            "pt": [round(edge, 3) for edge in edges],
        }
        asked = EvaluationOptions.model_validate({**options.model_dump(), "tables": tables})
        for point, place, share, seen, pulls in _toys(test, asked):
            print(
                f"| {name} | {point} | {place} | {share:g} | {seen:.4f} | {np.mean(pulls):+.2f} | "
                f"{np.std(pulls):.2f} |"
            )


def _toys(
    jets: Scores, options: EvaluationOptions
) -> Iterator[tuple[str, str, float, float, list[float]]]:
    """Yield pulls of every point and bin over bootstraps of two halves: cuts of one on the other.

    The halves' own difference is in all toys: mean pulls are as wide as one, and so is the spread.
    """
    random = np.random.default_rng(0)
    half = len(jets) // 2
    order = random.permutation(len(jets))
    seen: dict[tuple[str, int], list[float]] = {}
    pulls: dict[tuple[str, int], list[float]] = {}
    shares = {name: p.efficiency or p.mistag or 0.0 for name, p in options.tables.points.items()}
    tables = None
    for _ in range(TOYS):
        made, other = (
            jets.take(part[random.integers(0, half, half)])
            for part in (order[:half], order[half : 2 * half])
        )
        tables = _tables(made, options)
        passed = tables.passing(other.logits, other.jet_pt, other.jet_eta)
        for name, share in shares.items():
            label = tables.points[name].score.classes.index(
                tables.points[name].score.signal if name == "half" else "QCD"
            )
            for place in range(len(tables.axes[0].edges) - 1):
                rows, theirs = (
                    (s.labels == label) & (tables.axes[0].numbers(s.jet_pt, s.jet_eta) == place)
                    for s in (made, other)
                )
                value = passed[name][theirs].mean()
                error = np.sqrt(share * (1 - share) * (1 / rows.sum() + 1 / theirs.sum()))
                seen.setdefault((name, place), []).append(float(value))
                pulls.setdefault((name, place), []).append(float((value - share) / error))
    assert tables is not None
    for (name, place), values in seen.items():
        yield (
            name,
            tables.bin_text((place,)),
            shares[name],
            float(np.mean(values)),
            pulls[name, place],
        )


def _tables(jets: Scores, options: EvaluationOptions) -> WorkingPoints:
    return measure_working_points(
        jets.logits,
        jets.labels,
        jets.classes,
        jets.jet_weights,
        options,
        jet_pt=jets.jet_pt,
        jet_eta=jets.jet_eta,
    )


if __name__ == "__main__":
    main()
