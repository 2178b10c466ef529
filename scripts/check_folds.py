"""Folds beside one network: the AUC of jets that their networks have not seen, and of those seen.

    python scripts/check_folds.py --jets FILE --out DIR

``FILE`` holds labelled top-tagging jets; their numbers are those of the events. A Particle Flow
Network a fold is trained and each jet scored by the one without it; beside that stands one network
that was trained on all jets, on these and on jets of ``--test``.
"""

import argparse
from pathlib import Path

import numpy as np
import uproot

import parttag as pt
from parttag.data.writers.jetclass import JetClassTable

CLASSES = {"top": ["label_top"], "QCD": ["label_QCD"]}


def main() -> None:
    """Train, evaluate and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--jets", required=True)
    parser.add_argument("--test", required=True)
    parser.add_argument("--number", type=int, default=20_000)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    jets = pt.read(given.jets)
    rows = np.random.default_rng(0).permutation(len(jets))[: given.number]
    given.out.mkdir(parents=True)
    path = given.out / "jets.root"
    with uproot.recreate(path) as file:
        file["tree"] = {
            **JetClassTable.of_jets(jets.take(rows)).branches(),
            "event": np.arange(given.number, dtype=np.int64),
        }
    content = {
        "data": {"train": str(path), "classes": CLASSES},
        "model": {"name": "pfn"},
        "training": {"epochs": given.epochs, "batch_size": 256},
    }
    of_folds = {"data.folds": {"number": given.folds, "by": "event"}}
    folds = pt.train(content, out=given.out / "folds", options=of_folds)
    one = pt.train(content, out=given.out / "one")
    print("| network | jets | AUC | 1/ε_B at ε_S = 0.5 |\n|---|---|---|---|")
    for name, run, files, jets_are in (
        ("of the fold", folds, None, "all, each unseen"),
        ("one", one, str(path), "all, each seen in the training"),
        ("one", one, given.test, "others"),
    ):
        report = run.evaluate(files)
        print(f"| {name} | {jets_are} | {report.auc} | {report.rejection['top'][0.5]} |")
    for number in range(given.folds):
        alone = pt.load(given.out / "folds" / f"fold_{number}")
        print(f"| fold {number} | others | {alone.evaluate(given.test).auc} | |", flush=True)


if __name__ == "__main__":
    main()
