"""How fast exported Particle Transformers run on a CPU, beside our torch path and weaver's export.

    python -m venv PEER; PEER/bin/pip install torch numpy onnx onnxscript
    PEER/bin/pip install --no-deps weaver-core==0.5.3
    python scripts/bench_export.py --peer-python PEER/bin/python --json export.json

Jets of 50 particles, without training: weights do not change the time. Everything takes turns in
one process, a few calls each; a line has jets/s and latency, its median (p50), 99th percentile and
least. weaver's model is its own network, built for inference, as torch's older exporter traces it;
where that fails, the reason takes the place of its numbers.
"""

import argparse
import json
import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from speed.contestants import CLOCKS

from parttag.export.export import Exporter
from parttag.export.options import ExportOptions
from parttag.export.runtime import Session
from parttag.jets.batch import JetBatch, make_batch
from parttag.models import Tagger, build_model
from parttag.runs.config import RunConfig, load_config
from parttag.runs.recipes import find_recipe
from parttag.runs.run import Run
from parttag.samples.toys import toy_jets

RECIPES = ("toptagging/particle_transformer", "toptagging/particle_transformer_small")
WAYS: dict[str, dict[str, str]] = {
    "fused": {},
    "plain": {"attention": "plain"},
    "int8": {"precision": "int8"},
}
PEER = Path(__file__).parent / "peers" / "weaver_export.py"
PARTICLES = 50


def build(name: str, folder: Path) -> Run:
    """Return a run of a recipe without training, of which files exist as an export wants them."""
    config = load_config(find_recipe(name), ["data.train=none.h5", "data.val=none.h5"])
    directory = folder / name.rpartition("/")[2]
    (directory / "checkpoints").mkdir(parents=True)
    (directory / "checkpoints" / "best.pt").touch()
    (directory / "config.yaml").touch()
    torch.manual_seed(0)
    network = build_model(config.model, config.network_features, 2).eval()
    return Run(directory, config, network, ("top", "QCD"))


def weaver_model(python: Path, config: RunConfig, out: Path) -> bytes:
    """Return weaver's model of the same sizes."""
    options = config.model.model_dump()
    sizes = {
        "embed_dims": options["embed_dims"],
        "pair_embed_dims": options["pair_dims"],
        "num_heads": options["num_heads"],
        "num_layers": options["num_layers"],
        "num_cls_layers": options["num_class_layers"],
        "block_params": {"ffn_ratio": options["feedforward_factor"]},
        "cls_block_params": {"ffn_ratio": options["feedforward_factor"], "dropout": 0},
    }
    command = [python, PEER, "--sizes", json.dumps(sizes), "--out", out]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return out.read_bytes()


def torch_path(network: Tagger, batch: JetBatch, threads: int) -> Callable[[], object]:
    """Return a call of the run's own network."""

    def call() -> object:
        torch.set_num_threads(threads)
        with torch.inference_mode():
            return network(batch)

    return call


def contestants(
    run: Run, models: dict[str, bytes], jets: int, threads: int
) -> dict[str, Callable[[], object]]:
    """Return what takes turns."""
    batch = make_batch(toy_jets(seed=1, lengths=[PARTICLES] * jets))
    exporter = Exporter.of_run(run, ExportOptions())
    feeds = {item.name: item.padded(batch, PARTICLES) for item in exporter.inputs}

    def of(session: Session) -> Callable[[], object]:
        return lambda: session.run(feeds)

    found = {name: of(Session(model, threads)) for name, model in models.items()}
    return {**found, "torch": torch_path(run.model, batch, threads)}


def measure(
    calls: dict[str, Callable[[], object]], rounds: int, each: int, clock: Callable[[], float]
) -> dict[str, list[float]]:
    """Return the seconds of every call, after a few that do not count."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        for _ in range(3):
            call()
    for _ in range(rounds):
        for name, call in calls.items():
            for _ in range(each):
                began = clock()
                call()
                seconds[name].append(clock() - began)
    return seconds


def main() -> None:
    """Measure, print, and write the numbers if asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer-python", type=Path)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16, 256])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--recipes", nargs="+", default=RECIPES)
    parser.add_argument("--seconds", type=float, default=20.0, help="of every setting, about")
    parser.add_argument(
        "--clock",
        choices=CLOCKS,
        default="wall",
        help="processor, with one thread: if other programs are running",
    )
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    clock = CLOCKS[args.clock]
    lines: list[dict[str, object]] = []
    ratios: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for recipe in args.recipes:
            run = build(recipe, folder)
            models = {
                way: Exporter.of_run(run, ExportOptions(**options)).build().SerializeToString()
                for way, options in WAYS.items()
            }
            if args.peer_python:
                try:
                    path = folder / "weaver.onnx"
                    models["weaver"] = weaver_model(args.peer_python, run.config, path)
                except subprocess.CalledProcessError as error:
                    print("weaver:", error.stderr.strip().splitlines()[-1])
            for threads in args.threads:
                for jets in args.batches:
                    calls = contestants(run, models, jets, threads)
                    once = sum(map(sum, measure(calls, 1, 1, clock).values()))
                    rounds = max(3, int(args.seconds / once / 3))
                    seconds = measure(calls, rounds, 3, clock)
                    key = f"{recipe}, {jets} jets, {threads} threads"
                    for who, times in seconds.items():
                        p50, p99 = np.percentile(times, [50, 99])
                        line = {
                            "setting": key,
                            "who": who,
                            "jets_per_second": jets / p50,
                            "p50_ms": 1e3 * p50,
                            "p99_ms": 1e3 * p99,
                            "least_ms": 1e3 * min(times),
                            "calls": len(times),
                        }
                        lines.append(line)
                        print(json.dumps(line), flush=True)
                    if "weaver" in seconds:
                        ratio = np.median(seconds["weaver"]) / np.median(seconds["fused"])
                        ratios[key] = float(ratio)
    for key, ratio in ratios.items():
        print(f"{key}: {ratio:.2f} x weaver's export")
    if args.json:
        load = os.getloadavg()[0]
        content = {"ratios": ratios, "lines": lines, "load_at_the_end": load}
        args.json.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
