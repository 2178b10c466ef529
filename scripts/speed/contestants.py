"""Whose speed is compared: a network of parttag, and weaver-core's in a process of its own."""

import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from parttag.data.loading.dataset import open_dataset
from parttag.jets.arrays import JetArrays
from parttag.jets.batch import JetBatch, make_batch
from parttag.jets.features import particle_features
from parttag.jets.filled import FilledBatch
from parttag.models import build_model
from parttag.runs.config import RunConfig
from parttag.training.graph import GraphedSteps
from parttag.training.optimizers import build_optimizer

PEER_SCRIPT = Path(__file__).parents[1] / "peers" / "weaver_speed.py"
# The trimmer leaves the first five calls alone, and oneDNN prepares for sizes that are new.
WARM_UP_STEPS = 6
PEER_VARIANTS = ("eager", "dense", "compiled")
TASKS = ("training", "inference")
# Other programs disturb the processor's seconds least, which add up those of all threads.
CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}


class Jets(NamedTuple):
    """Jets in memory and their classes."""

    arrays: JetArrays
    labels: np.ndarray

    def batches(self, size: int, max_particles: int | None) -> list[JetBatch]:
        """Return as many whole batches as there are."""
        return [
            make_batch(
                self.arrays.span(start, start + size),
                self.labels[start : start + size],
                max_particles,
            )
            for start in range(0, len(self.arrays) - size + 1, size)
        ]


def read_jets(settings: RunConfig, files: Sequence[str], number: int) -> Jets:
    """Return jets of the files in random order, the same in every call."""
    dataset = open_dataset(files, settings.data.classes)
    rows = np.random.default_rng(0).permutation(len(dataset))[:number]
    return Jets(dataset.take(rows), dataset.classes[rows].astype(np.int64))


class Ours:
    """A network of parttag with its recipe's optimizer, which takes batches in turn."""

    def __init__(
        self,
        settings: RunConfig,
        batches: Sequence[JetBatch],
        device: str,
        *,
        compiled: bool = False,
        graphed: bool = False,
        clock: str = "wall",
    ) -> None:
        torch.manual_seed(0)
        self.device, self.clock = device, CLOCKS[clock]
        self.network = build_model(settings.model, settings.features, len(settings.data.classes))
        self.network.to(device)
        if compiled:
            self.network.compile(dynamic=True)
        self.optimizer = build_optimizer(self.network, settings.optimizer)
        self.graphed_steps: dict[str, GraphedSteps] = {}
        if graphed:
            longest = settings.model.max_particles
            size = max(map(len, batches))
            for precision in ("fp32", "bf16"):
                run = partial(self._differentiate, precision=precision)
                self.graphed_steps[precision] = GraphedSteps(run, self.optimizer, size, longest)
        self.batches = batches
        self.position = 0
        self.warm: set[tuple[str, str]] = set()
        self.peak_bytes: dict[tuple[str, str], int] = {}

    def times(self, task: str, precision: str, steps: int) -> list[float]:
        """Return the seconds of each step; the first call for a task warms up."""
        if (task, precision) not in self.warm:
            self.warm.add((task, precision))
            self.times(task, precision, WARM_UP_STEPS)
        step = self.train if task == "training" else self.infer
        seconds = []
        if self.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        for _ in range(steps):
            batch = self.batches[self.position % len(self.batches)]
            self.position += 1
            seconds.append(self.seconds(lambda batch=batch: step(batch, precision)))
        if self.device == "cuda":
            self.peak_bytes[task, precision] = torch.cuda.max_memory_allocated()
        return seconds

    def seconds(self, function: Callable[[], object]) -> float:
        """Return how long a call takes, until the device has caught up."""
        began = self.clock()
        function()
        if self.device == "cuda":
            torch.cuda.synchronize()
        return self.clock() - began

    def train(self, batch: JetBatch, precision: str = "fp32") -> None:
        """Take a step: copy to the device, forwards, backwards, optimizer."""
        self.network.train()
        if self.graphed_steps:
            self.graphed_steps[precision](batch, torch.device(self.device))
            return
        self._differentiate(batch.to(self.device), precision)
        self.optimizer.step()
        self.optimizer.zero_grad()

    def _differentiate(self, batch: JetBatch, precision: str) -> torch.Tensor:
        """Compute the gradients of a batch, jets that fill it up not counted."""
        logits = self._logits(batch, precision).float()
        if not isinstance(batch, FilledBatch):
            loss = torch.nn.functional.cross_entropy(logits, batch.labels)
        else:
            losses = torch.nn.functional.cross_entropy(logits, batch.labels, reduction="none")
            loss = (losses * batch.jet_weights).sum() / batch.jet_weights.sum()
        loss.backward()
        return loss.detach()

    @torch.no_grad()
    def infer(self, batch: JetBatch, precision: str = "fp32") -> None:
        """Compute the logits of a batch."""
        self.network.eval()
        self._logits(batch.to(self.device), precision)

    def _logits(self, batch: JetBatch, precision: str) -> torch.Tensor:
        with torch.autocast(self.device, torch.bfloat16, enabled=precision == "bf16"):
            return self.network(batch)


class Peer:
    """weaver-core's Particle Transformer, which is asked for times by lines of JSON."""

    def __init__(
        self, python: Path, inputs: Path, device: str, threads: int, clock: str = "wall"
    ) -> None:
        command = [python, "-W", "ignore", PEER_SCRIPT, inputs, "--clock", clock]
        self.process = subprocess.Popen(
            [*map(str, command), "--device", device, "--threads", str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.description = self._read()
        self.failed: dict[tuple[str, str, str], str] = {}
        self.peak_bytes: dict[tuple[str, str, str], int] = {}

    def times(
        self, task: str, precision: str, variant: str, batch: int, steps: int
    ) -> list[float] | None:
        """Return the seconds of each step; nothing, after saying why, if the variant fails."""
        key = (task, precision, variant)
        if key in self.failed:
            return None
        answer = self._ask(
            what=task, precision=precision, variant=variant, batch=batch, steps=steps
        )
        if "error" in answer:
            self.failed[key] = answer["error"]
            print(f"weaver {' '.join(key)} does not run here: {answer['error']}", flush=True)
            return None
        if "peak_bytes" in answer:
            self.peak_bytes[key] = answer["peak_bytes"]
        return answer["seconds"]

    def _ask(self, **request: object) -> dict[str, Any]:
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("the peer's process ended; its message is above")
        return json.loads(line)

    def close(self) -> None:
        """End the process."""
        self.process.stdin.close()
        self.process.wait()


def write_peer_inputs(jets: Jets, feature_names: tuple[str, ...], length: int, path: Path) -> None:
    """Write jets as weaver takes them: padded to a length with the jet's own particles."""
    batch = make_batch(*jets, length)
    features = particle_features(batch, feature_names)
    lengths = torch.from_numpy(batch.lengths)[:, None]
    rows = batch.offsets[:-1, None] + torch.arange(length) % lengths
    np.savez(
        path,
        pf_features=features[rows].transpose(1, 2).numpy(),
        pf_vectors=batch.p4[rows].transpose(1, 2).numpy(),
        pf_mask=(torch.arange(length) < lengths)[:, None].float().numpy(),
        labels=batch.labels.numpy(),
    )


Contestant = tuple[str, Callable[[int], list[float] | None]]
"""A name, and what returns the seconds of so many steps."""


def contestants(
    ours: dict[str, Ours],
    peer: Peer | None,
    precisions: Sequence[str],
    *,
    peer_precisions: Sequence[str],
    variants: Sequence[str],
    batch: int,
    tasks: Sequence[str] = TASKS,
) -> list[Contestant]:
    """Return everything whose speed is compared, training first."""
    result: list[Contestant] = []
    for task in tasks:
        result += [
            (f"{name} {task} {precision}", partial(network.times, task, precision))
            for name, network in ours.items()
            for precision in precisions
        ]
        if peer:
            result += [
                (
                    f"weaver {task} {precision} {variant}",
                    partial(peer.times, task, precision, variant, batch),
                )
                for variant in variants
                for precision in peer_precisions
            ]
    return result


def take_turns(entrants: Sequence[Contestant], rounds: int, steps: int) -> dict[str, list[float]]:
    """Return the seconds of all steps of every contestant, a few steps of each in every round."""
    seconds: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        for name, run in entrants:
            taken = run(steps)
            if taken is not None:
                seconds[name] += taken
    return dict(seconds)


def set_allocator(tunables: str | None) -> None:
    """Start this program anew with these settings of glibc's allocator, which the peer inherits.

    They are read when a process starts.
    """
    if tunables and os.environ.get("GLIBC_TUNABLES") != tunables:
        os.environ["GLIBC_TUNABLES"] = tunables
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def describe_machine(device: str, threads: int) -> dict[str, Any]:
    """Return what every result says of where it was taken."""
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "threads": threads,
        "torch": torch.__version__,
        "allocator": {name: os.environ.get(name) for name in ("GLIBC_TUNABLES", "LD_PRELOAD")},
    }
