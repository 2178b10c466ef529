"""Make a few small runs of this version, which all later versions must read.

    python scripts/make_old_runs.py [--out tests/golden/runs/COMMIT]

Made once for each version whose files are another's, with the code of that version, and never made
again: tests/test_old_runs.py reads the runs of all versions. There are

- ``pfn``, ``part`` (kinpid) and ``tokenizer``: trainings of three epochs, stopped in the second, so
  that a later version continues them;
- ``masked``, which takes that tokenizer, without what continuing needs;
- ``store``: the test jets in a JetStore;
- ``table``: a benchmark of one row, without its pictures and checkpoints;
- ``expected.json``: of each run the scores of the test jets, their loss (without scores, that of a
  linear probe), and the epochs of a training that went on to its end without a stop.

The jets are those of ``write_jets``, which must stay as it is: a run that continues compares the
checksums of its files. All paths are relative. Names of the machine are taken out of
provenance.json, where nothing reads them, train.log and the second last checkpoint are left out,
and files of scores are written without room for more rows.
"""

import argparse
import contextlib
import json
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
import yaml

from parttag import cli
from parttag.runs.config import load_config
from parttag.runs.provenance import commit
from parttag.runs.train import train_run

GOLDEN = Path(__file__).parents[1] / "tests" / "golden"
PARTS = {"train": (24, 1), "val": (16, 2), "test": (16, 3)}
"""The number of jets in each file, and its seed."""
CLASSES = {"quark": ["label_quark"], "gluon": ["label_gluon"]}
TRAINING = {"epochs": 3, "batch_size": 8, "device": "cpu", "checkpoint_every": 1}
_TOKENIZER = {
    "num_codes": 8,
    "latent_dim": 2,
    "width": 4,
    "hidden_dim": 4,
    "num_layers": 0,
    "num_heads": 2,
}
_TRANSFORMER = {
    "name": "particle_transformer",
    "embed_dims": [8],
    "pair_dims": [4],
    "num_heads": 2,
    "num_layers": 1,
    "num_class_layers": 1,
    "feedforward_factor": 1,
}
_HEAD = {"width": 4, "dense_dim": 4, "num_heads": 2, "num_layers": 1, "positions": "none"}
RUNS: dict[str, dict[str, Any]] = {
    "pfn": {"model": {"name": "pfn", "particle_dims": [4, 4], "jet_dims": [4]}},
    "part": {"model": _TRANSFORMER, "features": "kinpid", "optimizer": {"name": "adamw"}},
    "tokenizer": {
        "model": {"name": "particle_tokenizer", **_TOKENIZER},
        "objective": {"name": "tokenize"},
    },
    "masked": {
        "model": {"name": "mpm", "width": 4, "hidden_dim": 4, "num_layers": 1, "num_heads": 2},
        "objective": {"name": "masked", "tokenizer": _TOKENIZER, **_HEAD},
        "optimizer": {"name": "adamw"},
        "tokenizer_from": "tokenizer",
    },
}
_STOP_AT = 5  # of nine steps: the second of the second epoch
_TABLE_FILES = ("*.yaml", "table.json", "provenance.json", "metrics.jsonl", "evaluation/*.json")
_MACHINE = ("host", "platform", "processors")


class Stopped(Exception):  # noqa: N818
    """What ends a training in its middle."""


def main() -> None:
    """Make the runs in a temporary directory, and keep what a reader needs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="directory to make; named by the commit if none")
    arguments = parser.parse_args()
    version = (commit() or "unknown")[:7]
    out = (arguments.out or GOLDEN / "runs" / version).absolute()
    if out.exists():
        parser.error(f"{out} exists already: runs are made once")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        write_jets(Path())
        expected = {name: _make_run(name) for name in RUNS}
        command("prepare", "test.npz", "--out", "store", "--processes", "1")
        _make_table()
        _keep(out)
    (out / "expected.json").write_text(json.dumps(expected) + "\n")
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    print(f"{out}: {size:,} bytes")


def write_jets(folder: Path) -> None:
    """Write train.npz, val.npz and test.npz: toy jets in the layout of the quark-gluon set.

    Every byte is the same on any machine: NumPy keeps the numbers of ``RandomState`` as they are,
    and there is nothing but sums and products of them. A quark jet is narrow, a gluon jet wide.
    """
    for part, (num_jets, seed) in PARTS.items():
        draw = np.random.RandomState(seed)
        is_quark = np.arange(num_jets) % 2 == 0
        jets = np.zeros((num_jets, 12, 4), np.float32)
        for row, quark in enumerate(is_quark):
            number = draw.randint(1, 6) if quark else draw.randint(3, 13)
            width = 0.2 if quark else 0.6
            pt = np.sort(500.0 * draw.random_sample(number) ** 2 + 1.0)[::-1]
            y, phi = (
                axis + width * (draw.random_sample(number) - 0.5)
                for axis in (2.0 * draw.random_sample() - 1.0, 4.0 * draw.random_sample() + 1.0)
            )
            kind = draw.choice([211, -211, 22, 130], number)
            jets[row, :number] = np.stack([pt, y, phi, kind], axis=1)
        np.savez(folder / f"{part}.npz", X=jets, y=is_quark.astype(np.float32))


def scores(run: str, jets: str = "test.npz") -> dict[str, list[float]]:
    """Return the columns that ``parttag predict`` writes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scores.h5"
        command("predict", run, jets, "--out", str(path), "--device", "cpu")
        with h5py.File(path) as file:
            return {name: file[name][:].tolist() for name in file}


def evaluate(run: str) -> dict[str, Any]:
    """Return what ``parttag evaluate`` writes, with a probe where there is no classifier."""
    words = ["evaluate", run, "--data", "test.npz", "--device", "cpu"]
    if not load_config(Path(run) / "config.yaml").is_classifier:
        words += ["--probe", "linear", "--classes", yaml.safe_dump(CLASSES, sort_keys=False)]
    with tempfile.TemporaryDirectory() as folder:
        command(*words, "--out", f"{folder}/evaluation")
        metrics: dict[str, Any] = json.loads(Path(folder, "evaluation/metrics.json").read_text())
    return metrics


def epochs(run: str) -> list[dict[str, float]]:
    """Return the lines of metrics.jsonl, but for what the clock says."""
    lines = (Path(run) / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if "second" not in k} for line in lines]


def _make_run(name: str) -> dict[str, Any]:
    """Train to a stop, and a copy to the end; return what a later version must give."""
    classes = CLASSES if "objective" not in RUNS[name] else {}
    files = {part: f"{part}.npz" for part in ("train", "val")}
    content = {"data": {**files, "classes": classes}, "training": TRAINING, **RUNS[name]}
    path = Path(f"{name}.yaml")
    path.write_text(yaml.safe_dump(content))
    # As the command line would be: provenance.json says it.
    sys.argv = ["parttag", "train", str(path), "--out", name]
    with contextlib.suppress(Stopped):
        train_run(load_config(path), name, progress=_Stop())
    expected: dict[str, Any] = {"scores": scores(name)} if classes else {}
    if name != "tokenizer":  # which only continues: a picture takes as long as a run
        expected["loss"] = evaluate(name)["loss"]
    shutil.copytree(name, f"{name}_to_the_end")
    command("train", str(path), "--out", f"{name}_to_the_end")
    return {**expected, "epochs": epochs(f"{name}_to_the_end")}


class _Stop:
    """A progress that stops the training before a step."""

    def __init__(self) -> None:
        self._left = _STOP_AT

    def __call__(self, items: Iterable[Any], *, total: int, description: str) -> Iterator[Any]:
        del total
        for item in items:
            if description.startswith("epoch"):
                self._left -= 1
                if self._left < 0:
                    raise Stopped
            yield item


def _make_table() -> None:
    model = RUNS["pfn"]["model"]
    data = {part: f"{part}.npz" for part in PARTS}
    recipe = {"data": {**data, "classes": CLASSES}, "model": model, "training": TRAINING}
    Path("recipe.yaml").write_text(yaml.safe_dump(recipe))
    table = {
        "data": recipe["data"],
        "cost_jets": 2,
        "rows": {"PFN": {"recipe": "recipe.yaml"}},
    }
    Path("table.yaml").write_text(yaml.safe_dump(table))
    command("benchmark", "table.yaml", "--seeds", "0", "--out", "table")


def _keep(out: Path) -> None:
    """Copy what a reader needs, without the names of the machine."""
    for name in (*RUNS, "store"):
        leave_out = shutil.ignore_patterns("train.log", "last.previous.pt")
        shutil.copytree(name, out / name, ignore=leave_out)
    (out / "masked" / "checkpoints" / "last.pt").unlink()
    for path in (path for pattern in _TABLE_FILES for path in Path("table").rglob(pattern)):
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, out / path)
    for path in Path("table").rglob("scores.h5"):
        _repack(path, out / path)
    for name in ("recipe.yaml", "table.yaml"):
        shutil.copy(name, out / name)
    for path in out.rglob("provenance.json"):
        content = json.loads(path.read_text())
        for start in content["starts"]:
            start["hardware"] |= dict.fromkeys(_MACHINE)
        path.write_text(json.dumps(content, indent=2))


def _repack(path: Path, copy: Path) -> None:
    """Copy a file of scores without the room for more rows, which is most of it."""
    with h5py.File(path) as old, h5py.File(copy, "w", libver="latest") as new:
        for name in old:
            new[name] = old[name][:]


def command(*words: str) -> None:
    """Run ``parttag`` with these words."""
    sys.argv = ["parttag", *words]
    with contextlib.redirect_stdout(sys.stderr):
        cli.app(words, standalone_mode=False)


if __name__ == "__main__":
    main()
