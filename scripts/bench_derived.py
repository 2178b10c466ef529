"""Measure what ``columns.derived`` costs in ``prepare``, beside NumPy on the same numbers.

    python scripts/bench_derived.py [--jets 100000]

Writes toy jets in JetClass's branches, and prepares them without and with the formulas of the
Particle Transformer's data files, in one process. Without, columns are branches of the same
numbers. Beside it stands NumPy, which computes the same of flat arrays. Seconds are the
processor's.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import awkward as ak
import numpy as np
import uproot

import parttag
from parttag.data.readers.derived import DerivedColumns
from parttag.data.writers.jetclass import JetClassTable
from parttag.testing import toy_jets

FORMULAS = {
    "d_pt": "np.hypot(part_px, part_py)",
    "d_pt_log": "np.log(d_pt)",
    "d_e_log": "np.log(part_energy)",
    "d_logptrel": "np.log(d_pt / jet_pt)",
    "d_logerel": "np.log(part_energy / jet_energy)",
    "d_deltaR": "np.hypot(part_deta, part_dphi)",
    "d_near": "np.where(d_deltaR < 0.1, np.tanh(d_pt_log), 0.0)",
}


def by_numpy(branches: dict[str, np.ndarray], jet: np.ndarray) -> dict[str, np.ndarray]:
    """Return the same numbers of flat arrays; ``jet`` is the jet of every particle."""
    found = {"d_pt": np.hypot(branches["part_px"], branches["part_py"])}
    found["d_pt_log"] = np.log(found["d_pt"])
    found["d_e_log"] = np.log(branches["part_energy"])
    found["d_logptrel"] = np.log(found["d_pt"] / branches["jet_pt"][jet])
    found["d_logerel"] = np.log(branches["part_energy"] / branches["jet_energy"][jet])
    found["d_deltaR"] = np.hypot(branches["part_deta"], branches["part_dphi"])
    found["d_near"] = np.where(found["d_deltaR"] < 0.1, np.tanh(found["d_pt_log"]), 0.0)
    return found


def seconds(run: Callable[[], object], times: int) -> float:
    """Return the least seconds of the processor."""
    best = np.inf
    for _ in range(times):
        begin = time.process_time()
        run()
        best = min(best, time.process_time() - begin)
    return float(best)


def main() -> None:
    """Print the seconds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jets", type=int, default=100_000)
    parser.add_argument("--times", type=int, default=3)
    options = parser.parse_args()
    branches = JetClassTable.of_jets(toy_jets(options.jets, 0)).branches()
    names = set(DerivedColumns(FORMULAS).sources(FORMULAS))
    lists = {name: ak.Array(branches[name]) for name in names}
    lengths = ak.num(lists["part_px"]).to_numpy()
    flat = {n: ak.to_numpy(ak.flatten(b) if b.ndim > 1 else b) for n, b in lists.items()}
    chunks = [
        {n: b[i : i + 10_000] for n, b in lists.items()} for i in range(0, options.jets, 10_000)
    ]
    derived = DerivedColumns(FORMULAS)

    def with_numpy() -> None:
        jet = np.repeat(np.arange(options.jets), lengths)
        by_numpy(flat, jet)

    ours = seconds(lambda: [derived.added(chunk, Path()) for chunk in chunks], options.times)
    numpys = seconds(with_numpy, options.times)
    print(f"formulas alone: {ours:.3f} s, NumPy {numpys:.3f} s, ratio {ours / numpys:.2f}")
    with TemporaryDirectory() as directory:
        folder = Path(directory)
        known = derived.added(lists, folder)
        of_jets = {name: branches[name] for name in branches}
        stored = {f"b_{name}": known[name] for name in FORMULAS}
        path = folder / "jets.root"
        with uproot.recreate(path) as file:
            everything = of_jets | stored
            file.mktree("tree", {n: ak.type(ak.Array(b)).content for n, b in everything.items()})
            file["tree"].extend(everything)

        def prepared(columns: dict[str, object], keep: list[str]) -> Callable[[], object]:
            def run() -> object:
                out = folder / f"store_{time.perf_counter_ns()}"
                return parttag.prepare(path, out, columns=columns, column_names=keep, processes=1)

            return run

        plain = seconds(prepared({}, [*stored]), options.times)
        with_formulas = seconds(prepared({"derived": FORMULAS}, [*FORMULAS]), options.times)
    cost = with_formulas - plain
    print(f"prepare: branches of the same numbers {plain:.2f} s, formulas {with_formulas:.2f} s")
    print(
        f"the formulas cost {cost:.2f} s more than reading the numbers; NumPy takes {numpys:.2f} s"
    )


if __name__ == "__main__":
    main()
