"""Times weaver-core's Particle Transformer on request: run by an interpreter that has it.

    PEER_PYTHON weaver_speed.py INPUTS.npz --device cpu --threads 2

Reads lines of JSON, {"what": "training" or "inference", "precision": …, "variant": …, "batch": …,
"steps": …}, and answers each with the seconds of every step. The first request of a kind warms up.
The variants: eager, as weaver is by default, with pairs that exist; dense, with padded ones; and
compiled, as its training does with --compile.
"""

import argparse
import json
import sys
import time
from contextlib import nullcontext
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from weaver.utils.nn.optimizer.ranger import Ranger
from weaver_logits import build

# The trimmer leaves the first five calls alone, and oneDNN prepares for sizes that are new.
WARM_UP_STEPS = 6
PAPER = argparse.Namespace(
    network="particle_transformer",
    classes=2,
    embed_dims=[128, 512, 128],
    pair_embed_dims=[64, 64, 64],
    heads=8,
    layers=8,
    class_layers=2,
)
CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}
VARIANTS: dict[str, dict[str, object]] = {
    "eager": {},
    "dense": {"pair_embed_sparse_eval": (False, False)},
    "compiled": {"compile_model": True},
}


class Timer:
    """The network in one variant, its optimizer and the jets."""

    def __init__(
        self, inputs: dict[str, np.ndarray], device: str, variant: str, clock: str
    ) -> None:
        torch.manual_seed(0)
        self.device, self.clock = device, CLOCKS[clock]
        network = build(inputs["pf_features"].shape[1], PAPER, **VARIANTS[variant])
        network.to(device)
        self.optimizer = Ranger(network.parameters(), lr=1e-3, weight_decay=0.01)
        self.network = torch.compile(network) if variant == "compiled" else network
        self.inputs = {name: torch.from_numpy(values) for name, values in inputs.items()}
        self.position = 0
        self.warm: set[tuple[str, str]] = set()

    def times(self, what: str, precision: str, batch: int, steps: int) -> list[float]:
        """Return the seconds of each step, the copy of the batch to the device included."""
        if (what, precision) not in self.warm:
            self.warm.add((what, precision))
            self.times(what, precision, batch, WARM_UP_STEPS)
        seconds = []
        for _ in range(steps):
            began = self.clock()
            self._step(what, precision, batch)
            if self.device == "cuda":
                torch.cuda.synchronize()
            seconds.append(self.clock() - began)
        return seconds

    def _step(self, what: str, precision: str, batch: int) -> None:
        start = self.position * batch % (len(self.inputs["labels"]) - batch + 1)
        self.position += 1
        jets = {
            name: values[start : start + batch].to(self.device)
            for name, values in self.inputs.items()
        }
        dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
        cast = nullcontext() if dtype is None else torch.autocast(self.device, dtype)
        self.network.train(what == "training")
        with torch.set_grad_enabled(what == "training"), cast:
            logits = self.network(jets["pf_features"], v=jets["pf_vectors"], mask=jets["pf_mask"])
            if what == "training":
                loss = torch.nn.functional.cross_entropy(logits, jets["labels"])
        if what == "training":
            loss.backward()
            self.optimizer.step()
            self.optimizer.zero_grad()


def main() -> None:
    """Answer requests until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("inputs", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--threads", type=int, required=True)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with np.load(options.inputs) as file:
        inputs = dict(file)
    timers: dict[str, Timer] = {}
    print(json.dumps({"version": version("weaver-core"), "torch": torch.__version__}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        variant = request.pop("variant")
        if variant not in timers:
            timers[variant] = Timer(inputs, options.device, variant, options.clock)
        try:
            answer = {"seconds": timers[variant].times(**request)}
        except (RuntimeError, NotImplementedError) as error:  # it does not run here
            answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
        if options.device == "cuda":
            answer["peak_bytes"] = torch.cuda.max_memory_allocated()
            torch.cuda.reset_peak_memory_stats()
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
