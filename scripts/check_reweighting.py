"""What ``data.reweight`` does in two variables: spectra that tell nothing, and less sculpting.

    python scripts/check_reweighting.py --data DIR spectra
    python scripts/check_reweighting.py --data DIR sculpting --seeds 3

``DIR`` holds ``train.h5``, ``val.h5`` and ``test.h5`` of top tagging. *spectra* makes the weights
of nine tenths of all jets, in bins of 25 GeV in pT and 5 GeV in mass, and gives them to the others,
ten times: gradient-boosted trees of pT and mass alone, cross-validated on jets that did not make
the weights, then tell the classes apart by no more than chance; the error is that of the mean.
*sculpting* trains a Particle Flow Network with each seed, without and with the weights, and prints
how far the mass of the QCD jets that pass its cut is from that of all.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import StratifiedKFold

import parttag as pt
from parttag import metrics
from parttag.data.loading.dataset import JetDataset, open_dataset
from parttag.data.selection.reweight import ReweightOptions
from parttag.jets.arrays import JetArrays
from parttag.metrics import Estimate

CLASSES = {"top": ["label_top"], "QCD": ["label_QCD"]}
PT_EDGES = [550, 575, 600, 625, 650]
EPS_S = 0.5


def options(given: argparse.Namespace) -> dict[str, object]:
    """Return the section ``data.reweight``."""
    mass = list(range(0, 401, given.mass_step))
    by = {"jet_pt": PT_EDGES, "jet_mass": mass}
    return {"by": by, "to": given.to, "min_jets": given.min_jets}


def area(
    jets: JetArrays, classes: np.ndarray, weights: np.ndarray, names: tuple[str, ...]
) -> float:
    """Return the AUC of trees of these variables of the jet, each jet by trees without it."""
    known = {"pT": jets.pt, "mass": jets.mass}
    features = np.stack([known[name] for name in names], axis=1)
    logits = np.zeros((len(jets), 2))
    for train, test in StratifiedKFold(5, shuffle=True, random_state=0).split(features, classes):
        trees = HistGradientBoostingClassifier(
            max_leaf_nodes=15, min_samples_leaf=100, early_stopping=True, random_state=0
        )
        trees.fit(features[train], classes[train], weights[train])
        logits[test, 1] = trees.decision_function(features[test])
    return metrics.auc(logits, classes, weights)


def spectra(given: argparse.Namespace) -> None:
    """Print the AUC of pT and mass, of jets that did not make the weights, before and after."""
    found: dict[tuple[str, ...], list[tuple[float, float]]] = {}
    files = [given.data / f"{name}.h5" for name in ("train", "val", "test")]
    whole = open_dataset(files, CLASSES)
    labels, jets = whole.classes.astype(np.int64), whole.take(np.arange(len(whole)))
    splits = StratifiedKFold(given.splits, shuffle=True, random_state=0)
    for making, others in splits.split(labels, labels):
        made = JetDataset([jets.take(making)], labels[making])
        made = made.reweighted(ReweightOptions.model_validate(options(given)), tuple(CLASSES))
        reweighting = made.reweighting
        assert reweighting is not None
        for sentence in () if found else reweighting.sentences():
            print(sentence)
        own, classes = jets.take(others), labels[others]
        weights = reweighting.reweighed(own, classes).jet_weights.astype(np.float64)
        used = np.flatnonzero(weights)
        for names in (("pT",), ("mass",), ("pT", "mass")):
            before = area(own, classes, np.ones(len(own)), names)
            after = area(own.take(used), classes[used], weights[used], names)
            found.setdefault(names, []).append((before, after))
    print("| classifier of | before | after |\n|---|---|---|")
    for names, areas in found.items():
        both = [
            Estimate(float(np.mean(column)), float(np.std(column, ddof=1) / len(column) ** 0.5))
            for column in zip(*areas, strict=True)
        ]
        print(f"| {' and '.join(names)} | {both[0]} | {both[1]} |", flush=True)


def sculpting(given: argparse.Namespace) -> None:
    """Print what the cut of taggers makes of the mass of QCD jets."""
    print("| weights | seed | AUC | Jensen–Shannon | by chance | beyond it | 1/ε_B at 50 % |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for weights in ("none", "reweight"):
            for seed in range(given.seeds):
                content = {
                    "data": {
                        "train": str(given.data / "train.h5"),
                        "val": str(given.data / "val.h5"),
                        "classes": CLASSES,
                        "num_train_jets": given.train_jets,
                        "draw_by_seed": True,
                        **({"reweight": options(given)} if weights == "reweight" else {}),
                    },
                    "model": {"name": "pfn"},
                    "evaluation": {"sculpting_eps_s": EPS_S},
                    "training": {
                        "epochs": given.epochs,
                        "batch_size": 256,
                        "seed": seed,
                        "device": given.device,
                    },
                }
                run = pt.train(content, out=Path(folder, f"{weights}_{seed}"))
                report = run.evaluate(str(given.data / "test.h5"))
                found = report.mass_sculpting["top"]
                print(
                    f"| {weights} | {seed} | {report.auc} | {found.jensen_shannon:.3f} ± "
                    f"{found.spread:.3f} | {found.by_chance} | {found.excess:.3f} | "
                    f"{report.rejection['top'][EPS_S]} |",
                    flush=True,
                )


def main() -> None:
    """Do what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=["spectra", "sculpting"])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--to", default="flat", help="flat, or a class")
    parser.add_argument("--min-jets", type=int, default=20)
    parser.add_argument("--mass-step", type=int, default=5, help="GeV")
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--train-jets", type=int, default=30_000, help="of sculpting")
    parser.add_argument("--device", default="auto")
    given = parser.parse_args()
    spectra(given) if given.what == "spectra" else sculpting(given)


if __name__ == "__main__":
    main()
