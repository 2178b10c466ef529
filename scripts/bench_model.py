"""How fast a network trains and predicts, beside weaver-core's Particle Transformer.

    python -m venv PEER; PEER/bin/pip install torch numpy
    PEER/bin/pip install --no-deps weaver-core==0.5.3
    python scripts/bench_model.py --data $PARTTAG_SHARED_DATA/toptagging/val.h5 \
        --peer-python PEER/bin/python --json speed.json

Ours and every variant of the peer's take turns, a few steps each, on the same jets in one run; a
rate is that of the median step. A step of training is the copy to the device, forwards, backwards
and the optimizer; data are in memory. --parts also measures the parts of our step, each alone.
"""

import argparse
import json
import os
import resource
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from parttag.config import load_config
from parttag.data import open_dataset
from parttag.features import particle_features
from parttag.jets import JetBatch, make_batch
from parttag.models import build_model
from parttag.models.particle_transformer import ParticleTransformer
from parttag.ops.attention import attend, spread_bias
from parttag.ops.kernels import choose_path
from parttag.ops.layout import JetLayout
from parttag.training.optimizers import build_optimizer

ROOT = Path(__file__).parents[1]
PEER_SCRIPT = Path(__file__).parent / "peers" / "weaver_speed.py"
WARM_UP_STEPS = 6
PEER_LENGTH = 128


class Ours:
    """A network of parttag with its recipe's optimizer, and jets in memory."""

    def __init__(self, config: Path, data: Sequence[str], num_jets: int, device: str) -> None:
        torch.manual_seed(0)
        settings = load_config(config)
        dataset = open_dataset(data, settings.data.classes)
        rows = np.random.default_rng(0).permutation(len(dataset))[:num_jets]
        self.jets, self.labels = dataset.take(rows), dataset.classes[rows].astype(np.int64)
        self.device = device
        self.network = build_model(settings.model, settings.features, 2).to(device)
        self.optimizer = build_optimizer(self.network, settings.optimizer, 1.0)
        self.batches: list[JetBatch] = []
        self.position = 0
        self.warm: set[tuple[str, str]] = set()

    def cut(self, batch: int) -> None:
        """Cut the jets into batches."""
        self.batches = [
            make_batch(
                self.jets.span(start, start + batch),
                self.labels[start : start + batch],
                self.network.max_particles,
            )
            for start in range(0, len(self.jets) - batch + 1, batch)
        ]

    def times(self, what: str, precision: str, steps: int) -> list[float]:
        """Return the seconds of each step."""
        if (what, precision) not in self.warm:
            self.warm.add((what, precision))
            self.times(what, precision, WARM_UP_STEPS if what == "training" else 1)
        step = self._train if what == "training" else self._infer
        seconds = []
        for _ in range(steps):
            batch = self.batches[self.position % len(self.batches)]
            self.position += 1
            seconds.append(self.seconds(lambda batch=batch: step(batch, precision)))
        return seconds

    def seconds(self, function: Callable[[], object]) -> float:
        """Return how long a call takes, until the device has caught up."""
        began = time.perf_counter()
        function()
        if self.device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - began

    def _logits(self, batch: JetBatch, precision: str) -> torch.Tensor:
        with torch.autocast(self.device, torch.bfloat16, enabled=precision == "bf16"):
            return self.network(batch)

    def _train(self, batch: JetBatch, precision: str) -> None:
        self.network.train()
        batch = batch.to(self.device)
        logits = self._logits(batch, precision).float()
        torch.nn.functional.cross_entropy(logits, batch.labels).backward()
        self.optimizer.step()
        self.optimizer.zero_grad()

    @torch.no_grad()
    def _infer(self, batch: JetBatch, precision: str) -> None:
        self.network.eval()
        self._logits(batch.to(self.device), precision)

    def parts(self, steps: int) -> dict[str, float]:
        """Return the median seconds of the parts of a training step in fp32, each run alone."""
        seconds: dict[str, list[float]] = defaultdict(list)
        for number in range(steps):
            for name, value in self._parts(self.batches[number % len(self.batches)]).items():
                seconds[name].append(value)
        return {name: float(np.median(values)) for name, values in seconds.items()}

    def _parts(self, batch: JetBatch) -> dict[str, float]:
        network = self.network.train()
        assert isinstance(network, ParticleTransformer)
        backbone = network.backbone
        self._train(batch, "fp32")
        for parameter in network.parameters():
            parameter.grad = torch.zeros_like(parameter)
        optimizer = self.seconds(self.optimizer.step)
        self.optimizer.zero_grad()

        batch = batch.to(self.device)
        path = choose_path(
            "auto", batch.device, batch.p4.dtype, network.head_width, batch.max_length
        )
        layout = JetLayout(batch.lengths, batch.device, path=path)
        heads = backbone.blocks[0].num_heads
        shape = (len(batch.p4), 3, heads, network.head_width)
        qkv = torch.randn(shape, device=self.device, requires_grad=True)
        bias = torch.randn(heads, layout.num_pairs, device=self.device, requires_grad=True)

        def pair_network() -> None:
            backbone.pair_bias(batch.p4, layout).sum().backward()

        return {
            "optimizer": optimizer,
            "features": self.seconds(lambda: particle_features(batch, network.feature_names)),
            "pair features and network": self.seconds(pair_network),
            "attention": self.seconds(lambda: _attention(qkv, bias, layout, backbone)),
        }


def _attention(
    qkv: torch.Tensor, bias: torch.Tensor, layout: JetLayout, backbone: torch.nn.Module
) -> None:
    spread = spread_bias(bias, layout)
    total = sum(
        attend(qkv, spread, layout, block.attention_dropout).sum() for block in backbone.blocks
    )
    total.backward()


class Peer:
    """weaver-core in a process of its own."""

    def __init__(self, python: Path, inputs: Path, device: str, threads: int) -> None:
        command = [python, "-W", "ignore", PEER_SCRIPT, inputs]
        self.process = subprocess.Popen(
            [*map(str, command), "--device", device, "--threads", str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.description = self._read()

    def ask(self, **request: object) -> dict:
        """Return the answer to a request."""
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return self._read()

    def _read(self) -> dict:
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("the peer's process ended; its message is above")
        return json.loads(line)

    def close(self) -> None:
        """End the process."""
        self.process.stdin.close()
        self.process.wait()


def write_peer_inputs(ours: Ours, path: Path) -> None:
    """Write the same jets as weaver takes them: padded to 128 with the jet's own particles."""
    batch = make_batch(ours.jets, ours.labels, PEER_LENGTH)
    features = particle_features(batch, ours.network.feature_names)
    slots = torch.arange(PEER_LENGTH) % torch.from_numpy(batch.lengths)[:, None]
    rows = batch.offsets[:-1, None] + slots
    mask = torch.arange(PEER_LENGTH) < torch.from_numpy(batch.lengths)[:, None]
    np.savez(
        path,
        pf_features=features[rows].transpose(1, 2).numpy(),
        pf_vectors=batch.p4[rows].transpose(1, 2).numpy(),
        pf_mask=mask[:, None].float().numpy(),
        labels=batch.labels.numpy(),
    )


def measure(
    ours: Ours, peer: Peer | None, variants: Sequence[tuple[str, bool]], args: argparse.Namespace
) -> dict[str, dict[str, float]]:
    """Return seconds of steps of every contestant, taking turns."""
    seconds: dict[str, list[float]] = defaultdict(list)
    failed: dict[str, str] = {}
    for _ in range(args.rounds):
        for what in ("training", "inference"):
            for precision in args.precisions:
                name = f"ours {what} {precision}"
                seconds[name] += ours.times(what, precision, args.steps)
            for precision, compiled in variants if peer else ():
                name = f"weaver {what} {precision}{' compiled' if compiled else ''}"
                if name in failed:
                    continue
                answer = peer.ask(
                    what=what,
                    precision=precision,
                    compiled=compiled,
                    batch=args.batch,
                    steps=args.steps,
                )
                if "error" in answer:
                    failed[name] = answer["error"]
                    print(f"{name}: does not run ({answer['error']})", flush=True)
                else:
                    seconds[name] += answer["seconds"]
    rates = {}
    for name, values in seconds.items():
        low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
        rates[name] = {
            "jets_per_second": args.batch / median,
            "quartiles": [args.batch / high, args.batch / low],
        }
    return rates


def ratios(rates: dict[str, dict[str, float]]) -> dict[str, float]:
    """Return our rates over the best of the peer's: in fp32, and ours in bf16 over any."""
    result = {}
    for what in ("training", "inference"):
        peers = {n: r["jets_per_second"] for n, r in rates.items() if f"weaver {what}" in n}
        for precision, others in (
            ("fp32", [r for n, r in peers.items() if "fp32" in n]),
            ("bf16", list(peers.values())),
        ):
            name = f"ours {what} {precision}"
            if name in rates and others:
                result[f"{what}, {precision}"] = rates[name]["jets_per_second"] / max(others)
    return result


def main() -> None:
    """Measure, print, and write the numbers if asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="particle_transformer", help="configs/toptagging/MODEL")
    parser.add_argument("--data", nargs="+", required=True)
    parser.add_argument("--peer-python", type=Path)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--jets", type=int, default=2560, help="in memory, taken in turn")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=3, help="of each contestant in a round")
    parser.add_argument("--precisions", nargs="+", default=["fp32", "bf16"])
    parser.add_argument("--compiled", action="store_true", help="the peer compiled, too")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--parts", action="store_true")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)

    ours = Ours(ROOT / f"configs/toptagging/{args.model}.yaml", args.data, args.jets, args.device)
    ours.cut(args.batch)
    variants = [
        (p, c) for c in ((False, True) if args.compiled else (False,)) for p in args.precisions
    ]
    with TemporaryDirectory() as directory:
        inputs = Path(directory) / "inputs.npz"
        peer = None
        if args.peer_python:
            write_peer_inputs(ours, inputs)
            peer = Peer(args.peer_python, inputs, args.device, args.threads)
        rates = measure(ours, peer, variants, args)
        if peer:
            peer.close()
    result = {
        "model": args.model,
        "batch": args.batch,
        "device": torch.cuda.get_device_name() if args.device == "cuda" else "cpu",
        "threads": args.threads,
        "torch": torch.__version__,
        "peer": peer.description if peer else None,
        "rates": rates,
        "ratios": ratios(rates),
        "peak_memory_gb": torch.cuda.max_memory_allocated() / 1e9
        if args.device == "cuda"
        else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
    }
    if args.parts:
        result["parts_ms"] = {name: 1e3 * value for name, value in ours.parts(args.steps).items()}
    for name, rate in rates.items():
        low, high = rate["quartiles"]
        print(f"{name:40} {rate['jets_per_second']:10.1f} jets/s  ({low:.1f} to {high:.1f})")
    for name, value in result["ratios"].items():
        print(f"{name:40} {value:10.2f} x the peer's best")
    for name, value in result.get("parts_ms", {}).items():
        print(f"{name:40} {value:10.1f} ms a step")
    if args.json:
        args.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
