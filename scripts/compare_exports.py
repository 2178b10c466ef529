"""Scores of exported models beside those of the runs, on real jets, and what precision costs.

    python scripts/compare_exports.py runs/ParT runs/PFN --data test.h5 --json exports.json

Every run is exported in every way that is asked for, into a folder that is deleted afterwards, and
all jets are scored in ONNX Runtime and by the run. A line has the largest and the median difference
of a score; jets with neighbours as good as equally far or, for a pair bias, with particles in the
same direction are counted apart. With two classes and labels, it has AUC and rejection beside
fp32's, with paired errors. --reference FILE.npz compares with the scores of another program, an
array ``scores`` in the order of the jets, as well.
"""

import argparse
import json
from pathlib import Path

import numpy as np

import parttag as pt
from parttag.data.selection.classes import assign_classes
from parttag.errors import InputError
from parttag.export.check import comparable, near_ties, own_values
from parttag.export.export import Exporter
from parttag.export.options import ExportOptions
from parttag.export.runtime import Session
from parttag.jets.arrays import JetArrays
from parttag.jets.batch import make_batch
from parttag.metrics.paired import influences

WAYS: dict[str, dict[str, object]] = {
    "fp32": {},
    "fp32 raw": {"inputs": "raw"},
    "fp32 plain": {"attention": "plain"},
    "fp16": {"precision": "fp16"},
    "int8": {"precision": "int8"},
}
BATCH = 128


def exported_logits(run: pt.Run, jets: JetArrays, way: str) -> np.ndarray:
    """Return the logits of an exported model for all jets, in their order."""
    exporter = Exporter.of_run(run, ExportOptions(output="logits", **WAYS[way]))
    session = Session(exporter.build().SerializeToString(), threads=2)
    logits = np.zeros((len(jets), len(run.classes)), dtype=np.float32)
    for rows in batches(jets):
        batch = make_batch(jets.take(rows), max_particles=run.model.max_particles)
        feeds = {i.name: i.padded(batch, batch.max_length + 1) for i in exporter.inputs}
        logits[rows] = session.run(feeds)[0]
    return logits


def batches(jets: JetArrays) -> list[np.ndarray]:
    """Return the rows of batches of jets of similar length."""
    order = np.argsort(jets.lengths, kind="stable")
    return [order[start : start + BATCH] for start in range(0, len(order), BATCH)]


def compare(run: pt.Run, jets: JetArrays, ways: list[str]) -> dict[str, dict[str, object]]:
    """Return one line a way."""
    own = np.zeros((len(jets), len(run.classes)))
    tied = np.zeros(len(jets), dtype=bool)
    for rows in batches(jets):
        batch = make_batch(jets.take(rows), max_particles=run.model.max_particles)
        own[rows] = own_values(run.model, batch, "logits")
        tied[rows] = near_ties(run.model, batch)
    lines: dict[str, dict[str, object]] = {}
    measured = None
    for way in ways:
        logits = exported_logits(run, jets, way)
        apart = np.abs(comparable(logits, "logits") - own).max(axis=1)
        line: dict[str, object] = {
            "jets": int((~tied).sum()),
            "largest": float(apart[~tied].max(initial=0)),
            "median": float(np.median(apart[~tied])),
            "ties": int(tied.sum()),
            "largest_of_ties": float(apart[tied].max(initial=0)),
        }
        found = numbers(run, jets, logits)
        measured = measured or found
        for name, one in (found or {}).items():
            line[name] = [one.value, one.error]
            difference = one.minus(measured[name])
            line[f"{name} less {ways[0]}"] = [difference.value, difference.error]
        lines[way] = line
        print(f"{run.directory.name:20} {way:11}", json.dumps(line), flush=True)
    return lines


def numbers(run: pt.Run, jets: JetArrays, logits: np.ndarray) -> dict | None:
    """Return accuracy, AUC and ln rejection with what each jet adds; none without labels."""
    if len(run.classes) != 2:
        return None
    try:
        labels = assign_classes(jets, run.config.data.classes)
    except InputError:
        return None
    found = influences(logits, labels, run.classes, None, run.config.evaluation)
    named = {k if isinstance(k, str) else f"ln(1/eps_B) at {k[1]}": v for k, v in found.items()}
    return {k: v.as_log_rejection() if k.startswith("ln") else v for k, v in named.items()}


def main() -> None:
    """Compare, print, and write the numbers if asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--data", nargs="+", required=True)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--most", type=int, help="take so many jets")
    parser.add_argument("--reference", type=Path)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    result: dict[str, object] = {}
    for directory in args.runs:
        run = pt.load(directory)
        jets = pt.read(args.data)
        jets = jets.take(np.arange(min(len(jets), args.most or len(jets))))
        result[directory.name] = compare(run, jets, args.ways)
        if args.reference is not None:
            with np.load(args.reference) as file:
                others = file["scores"]
            apart = np.abs(
                comparable(exported_logits(run, jets, args.ways[0]), "logits") - others
            ).max(axis=1)
            print(f"{directory.name:20} beside {args.reference}: at most {apart.max():.2e}")
            result[f"{directory.name} beside the reference"] = float(apart.max())
    if args.json:
        args.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
