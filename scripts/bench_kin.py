"""What ten more columns cost a training, and whether that of ``kin`` costs what it did.

    git worktree add OLD fe8dfdb
    python scripts/bench_kin.py --old OLD --json kin.json

Toy jets are prepared by each version. Two processes, one a version, then take turns in one run: a
pass of the loader (*raw*: batches as a GPU takes them), one with the features of ``kin``, and steps
of a Particle Flow Network. A third store has ten more columns of the particles in single precision
beside those of JetClass (*full*): 96 bytes a particle for 56.
Rates are jets a second of processor time of one thread, which other work on the machine disturbs
little; ratios are medians over the rounds.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

BATCH_SIZE, STEPS, COLUMNS = 512, 8, 10
LABELS = {"QCD": ["label_QCD"], "top": ["label_Tbqq"]}


def batches(store: Path, wanted: bool) -> "Iterator[object]":
    """Yield batches of passes over a store for ever, with the number of their jets first."""
    from parttag.data import JetLoader, open_dataset

    data = open_dataset([store], LABELS)
    loader = JetLoader(data, BATCH_SIZE, shuffle=True, drop_last=True, extras=wanted)
    for number in range(1_000_000):
        yield len(loader) * BATCH_SIZE, loader.epoch(number)


def worker(stores: list[str]) -> None:
    """Answer each line, the name of a measurement, by jets a second of processor time."""
    import torch

    try:
        from parttag.jets.features import particle_features
    except ImportError:
        from parttag.features import particle_features
    from parttag.models import MODELS, build_model

    torch.set_num_threads(1)
    kin = batches(Path(stores[0]), wanted=False)
    full = batches(Path(stores[0]), wanted=True)
    more = batches(Path(stores[-1]), wanted=True)
    torch.manual_seed(0)
    network = build_model(MODELS["pfn"].network.options_class(name="pfn"), "kin", 2)
    for line in sys.stdin:
        what = line.strip()
        number, epoch = next({"ten columns": more, "full": full}.get(what, kin))
        began = time.process_time()
        if what == "step":
            number = 0
            for batch in epoch:
                loss = torch.nn.functional.cross_entropy(network(batch), batch.labels)
                loss.backward()
                number += BATCH_SIZE
                if number == STEPS * BATCH_SIZE:
                    break
        else:
            for batch in epoch:
                if what == "features":
                    particle_features(batch, "kin")
        print(number / (time.process_time() - began), flush=True)


class Version:
    """A process with a version of parttag."""

    def __init__(self, root: Path, *stores: Path) -> None:
        command = [sys.executable, Path(__file__).resolve(), "--worker", *stores]
        environment = {**os.environ, "PYTHONPATH": str(root / "src"), "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def rate(self, what: str) -> float:
        """Return jets a second."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(what + "\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def close(self) -> None:
        """Let it end."""
        self._process.communicate()


def write(root: Path, files: list[Path], out: Path, columns: tuple[str, ...] = ()) -> None:
    """Prepare a store by a version."""
    more = f", column_names={list(columns)!r}" if columns else ""
    code = (
        "from parttag.data import prepare; from pathlib import Path; "
        f"prepare({[str(file) for file in files]!r}, Path({str(out)!r}){more})"
    )
    environment = {**os.environ, "PYTHONPATH": str(root / "src"), "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)


def toys(folder: Path, number: int) -> list[Path]:
    """Write toy jets with ten more columns of the particles."""
    import awkward as ak
    import numpy as np
    import uproot
    from toy_jetclass import toy_table

    rng, files = np.random.default_rng(0), []
    for name in ("ZJetsToNuNu", "TTBar"):
        branches = toy_table(number // 2, name, rng).branches()
        lengths = ak.num(branches["part_px"])
        for column in range(COLUMNS):
            values = rng.normal(size=int(ak.sum(lengths))).astype(np.float32)
            branches[f"more_{column}"] = ak.unflatten(values, lengths)
        files.append(folder / f"{name}.root")
        with uproot.recreate(files[-1]) as file:
            types = {key: ak.type(branch).content for key, branch in branches.items()}
            file.mktree("tree", types)
            file["tree"].extend(branches)
    return files


def main() -> None:
    """Print rounds and medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--old", type=Path, required=True, help="a worktree of the older version")
    parser.add_argument("--jets", type=int, default=40_000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    new = Path(__file__).resolve().parents[1]
    with TemporaryDirectory() as place:
        folder = Path(place)
        files = toys(folder, given.jets)
        write(given.old, files, folder / "old")
        write(new, files, folder / "new")
        write(new, files, folder / "more", tuple(f"more_{n}" for n in range(COLUMNS)))
        old = Version(given.old, folder / "old")
        now = Version(new, folder / "new", folder / "more")
        rounds = []
        for number in range(given.rounds + 1):
            one = {}
            for what in ("raw", "features", "step"):
                for version in (old, now) if number % 2 else (now, old):
                    one[what, version is now] = version.rate(what)
            for what in ("full", "ten columns") if number % 2 else ("ten columns", "full"):
                one[what, True] = now.rate(what)
            rounds.append(one)
            shown = (f"{what} {value:,.0f}" for (what, _), value in one.items())
            print(f"round {number}: {', '.join(shown)} jets/s", flush=True)
        for version in (old, now):
            version.close()
        del rounds[0]
    found = {
        what: median(one[what, True] / one[what, False] for one in rounds)
        for what in ("raw", "features", "step")
    }
    found["time with ten columns over time without"] = median(
        one["full", True] / one["ten columns", True] for one in rounds
    )
    for what, ratio in found.items():
        print(f"{what}: {ratio:.3f}")
    if given.json:
        given.json.write_text(json.dumps({"ratios": found}, indent=2))


if __name__ == "__main__":
    worker(sys.argv[2:]) if sys.argv[1:2] == ["--worker"] else main()
