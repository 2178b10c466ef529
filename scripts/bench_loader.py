"""How fast jets come, against weaver-core's loader, and how fast files are prepared.

    python -m venv PEER
    PEER/bin/pip install torch numpy
    PEER/bin/pip install weaver-core==0.5.3
    python scripts/bench_loader.py --peer-python PEER/bin/python --json loader.json

The same jets, ROOT files for weaver and a JetStore for parttag, one worker each (a process there, a
thread here), batches of 512 in the process that trains. ``features`` is the rate at which the
model's input is made, on the CPU; ``raw`` that of batches whose features a GPU will compute, which
is no choice in weaver. ``prepare`` is the rate of ``parttag prepare`` against that at which weaver
fills its buffers from the same files, one process and one core each, with all branches: by default
from a hundredth of every file at a time, at its fastest from one whole file after the other.
Passes of both alternate, five of each after a first one that is not counted; a ratio is the median
of those of the five rounds, so that a machine that grows busier or quieter disturbs little. Without
--jets, toy jets in JetClass's layout are made (see toy_jetclass.py).
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import torch
from peers.weaver_config import weaver_config
from toy_jetclass import LABELS, write_toys

from parttag.data import JetLoader, open_dataset, prepare
from parttag.jets.feature_lists import required_extras
from parttag.jets.features import particle_features

BATCH_SIZE = 512
CLASSES = {label.removeprefix("label_"): [label] for label in LABELS}
PEER_SCRIPT = Path(__file__).parent / "peers" / "weaver_loader.py"


Rates = dict[str, float]
"""Jets a second by what was measured."""


class Peer:
    """weaver-core in a process of its own, which measures when it is asked to."""

    def __init__(self, command: Sequence[str | Path]) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def rate(self) -> float:
        """Return jets a second of one pass over all jets."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        return float(answer["jets"] / answer["seconds"])

    def close(self) -> None:
        """Let the process end."""
        self._process.communicate()


def rate(batches: Iterator[object], num_jets: int) -> float:
    """Return jets a second of one pass."""
    began = time.perf_counter()
    for _ in batches:
        pass
    return num_jets / (time.perf_counter() - began)


def alternate(measures: dict[str, Callable[[], float]], repeats: int) -> list[Rates]:
    """Return the rates of each round, all measured in turn, the first round left out."""
    rounds = []
    for number in range(repeats + 1):
        rounds.append({name: measure() for name, measure in measures.items()})
        shown = ", ".join(f"{name} {value:,.0f}" for name, value in rounds[-1].items())
        print(f"round {number}: {shown} jets/s", flush=True)
    return rounds[1:]


def loader_rates(
    features: str, store: Path, config: Path, files: Sequence[Path], options: argparse.Namespace
) -> list[Rates]:
    """Return jets a second of both loaders for a feature set, by round."""
    data = open_dataset([store], CLASSES)
    loader = JetLoader(
        data, BATCH_SIZE, shuffle=True, drop_last=True, extras=bool(required_extras(features))
    )
    num_jets = len(loader) * BATCH_SIZE
    epochs = iter(range(1_000_000))
    peer = Peer([options.peer_python, PEER_SCRIPT, "loader", config, str(BATCH_SIZE), *files])
    measures = {
        "features": lambda: rate(
            (particle_features(batch, features) for batch in loader.epoch(next(epochs))), num_jets
        ),
        "raw": lambda: rate(loader.epoch(next(epochs)), num_jets),
        "weaver": peer.rate,
    }
    rates = alternate(measures, options.repeats)
    peer.close()
    return rates


@contextmanager
def one_core() -> Iterator[None]:
    """Stay on one core inside, with all processes that are started."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def prepare_rates(
    config: Path, files: Sequence[Path], directory: Path, options: argparse.Namespace
) -> list[Rates]:
    """Return jets a second of ``prepare`` and of weaver's filling of its buffers, by round."""
    stores = (directory / f"prepared-{number}" for number in range(1_000_000))

    def ours() -> float:
        began = time.perf_counter()
        report = prepare(files, next(stores))
        return report.counts.read / (time.perf_counter() - began)

    with one_core():
        peers = {
            name: Peer([options.peer_python, PEER_SCRIPT, kind, config, "0", *files])
            for name, kind in (("weaver", "fill"), ("weaver by default", "fill-default"))
        }
        measures = {name: peer.rate for name, peer in peers.items()}
        rates = alternate({"prepare": ours, **measures}, options.repeats)
        for peer in peers.values():
            peer.close()
    return rates


def ratios(rounds_of: dict[str, list[Rates]]) -> dict[str, float]:
    """Return ours over weaver's, by name: medians of the rounds' ratios."""
    found = {}
    for name, rounds in rounds_of.items():
        peers = [kind for kind in rounds[0] if kind.startswith("weaver")]
        for kind in rounds[0]:
            for peer in peers if kind not in peers else ():
                own = name if name == kind else f"{kind} {name}"
                own += peer.removeprefix("weaver").replace(" by", ", weaver by")
                found[own] = median(one[kind] / one[peer] for one in rounds)
    return found


def main() -> None:
    """Print every round; write medians and ratios as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python", type=Path, required=True, help="has weaver-core and torch")
    parser.add_argument("--json", type=Path, help="write the result here")
    parser.add_argument("--jets", type=Path, nargs="+", help="ROOT files in JetClass's layout")
    parser.add_argument("--num-jets", type=int, default=200_000, help="toy jets to make")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--only", nargs="+", choices=("kin", "full", "prepare"), default=["kin", "full", "prepare"]
    )
    parser.add_argument("--work", type=Path, help="a directory with room for the jets, twice")
    options = parser.parse_args()

    with TemporaryDirectory(dir=options.work) as name:
        directory = Path(name)
        files = options.jets or write_toys(directory / "toys", options.num_jets)
        store = directory / "store"
        report = prepare(files, store)
        rates = {}
        for features in ("kin", "full"):
            config = directory / f"{features}.yaml"
            config.write_text(weaver_config(features))
            if features in options.only:
                rates[features] = loader_rates(features, store, config, files, options)
        if "prepare" in options.only:
            rates["prepare"] = prepare_rates(directory / "full.yaml", files, directory, options)
    result = {
        "ratios": ratios(rates),
        "jets_per_second": {
            name: {kind: median(one[kind] for one in rounds) for kind in rounds[0]}
            for name, rounds in rates.items()
        },
        "num_jets": report.counts.read,
        "jets": "given" if options.jets else "toys",
        "batch_size": BATCH_SIZE,
        "repeats": options.repeats,
        "torch_threads": torch.get_num_threads(),
        "processor": platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "load": os.getloadavg()[0],
        "command": sys.argv,
    }
    text = json.dumps(result, indent=2)
    print(text)
    if options.json:
        options.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
