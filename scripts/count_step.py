"""What a step of training asks of a GPU: launches, operations and bytes, counted without one.

    python scripts/count_step.py --jets 32 --json step.json

The published Particle Transformer takes steps in bf16 on the tests' pretended device. Each
operation of torch that is not a view is a launch, and moves its inputs and outputs once; those of
lists of tensors are as many launches as torch makes of them. Launches of Triton's kernels are
counted and not run, so that what is computed is nonsense; how many there are does not depend on it.
Nothing here is a time of a GPU.

What a compiler would fuse is counted by a rule: operations on single numbers, casts and norms
between two products are one launch, which reads what comes from before them and writes what is used
after; a sum over all rows is one more.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

os.environ["TRITON_INTERPRET"] = "1"
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import numpy as np
import torch
from torch.utils._pytree import tree_leaves

from parttag.models import build_model
from parttag.runs.config import load_config
from parttag.testing import toy_batch
from parttag.training.graph import GraphedSteps
from parttag.training.optimizers import build_optimizer
from pretended_device import device, tensors

_BATCH = 512
RECIPE = Path(__file__).parents[1] / "configs/toptagging/particle_transformer.yaml"
# Of torch's MultiTensorApply: tensors of a launch, by how many lists it takes.
_TENSORS_OF_A_LAUNCH = {1: 110, 2: 64, 3: 48, 4: 36, 5: 30}
_BY_NUMBER = {
    *("add", "addcmul", "bernoulli", "bitwise_and", "clamp", "clamp_min", "copy", "div", "eq"),
    *("exp", "fill", "ge", "gelu", "gelu_backward", "lt", "masked_fill", "mul", "native_dropout"),
    *("native_dropout_backward", "native_layer_norm", "native_layer_norm_backward", "neg"),
    *("ones_like", "_to_copy", "reciprocal", "rsqrt", "sqrt", "square", "sub", "where", "zero"),
    "zeros_like",
}
_MAKES_NOTHING = {"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided"}


@dataclass
class Call:
    """An operation with the memory that it reads and writes: bytes by where they begin."""

    name: str
    launches: int
    reads: dict[int, int]
    writes: dict[int, int]
    is_captured: bool


@dataclass
class Recorder:
    """All operations of a step; tensors are kept, so that no memory is used twice."""

    calls: list[Call] = field(default_factory=list)
    kept: list[torch.Tensor] = field(default_factory=list)

    def add(self, name: str, inputs: object, outputs: object, launches: int = 1) -> None:
        """Write down an operation."""
        read, written = _bytes_of(inputs), _bytes_of(outputs)
        self.kept += [t for t in tree_leaves((inputs, outputs)) if isinstance(t, torch.Tensor)]
        captured = tensors.LEDGER.is_captured
        self.calls.append(Call(name, launches, read, written, captured))


def _bytes_of(values: object) -> dict[int, int]:
    found = [tensors.held(t) for t in tree_leaves(values) if isinstance(t, tensors.DeviceTensor)]
    return {t.data_ptr(): t.nbytes for t in found if t.nbytes}


def _watched(recorder: Recorder, dispatch):
    def run(function, args, kwargs):
        result = dispatch(function, args, kwargs)
        name = str(function).split(".")[1]
        plain = name.rstrip("_")
        on_gpu = bool(_bytes_of((args, kwargs, result)))
        is_view = getattr(function, "is_view", False) or name in ("_unsafe_view", "detach", "alias")
        if on_gpu and not is_view and plain not in _MAKES_NOTHING:
            lists = [a for a in args if isinstance(a, (list, tuple)) and a]
            launches = 1
            if name.startswith(("_foreach", "_fused")):
                of_one = _TENSORS_OF_A_LAUNCH.get(len(lists), 30)
                launches = -(-len(lists[0]) // of_one)
            outputs = args[0] if name.endswith("_") else result
            recorder.add(plain, (args, kwargs), outputs, launches)
        return result

    return run


def count(jets: int, *, graphed: bool) -> list[Call]:
    """Return the operations of a step, the one after the first few."""
    from triton.runtime.interpreter import GridExecutor

    settings = load_config(RECIPE, ["model.kernels=triton"])
    recorder = Recorder()

    def launch(self, *args, **kwargs):
        name = f"{self.fn.__module__.rsplit('.', 1)[-1]}.{self.fn.__name__}"
        recorder.add(name, (args, kwargs), ())

    with device.pretended_device(), mock.patch.object(GridExecutor, "__call__", launch):
        torch.manual_seed(0)
        model = build_model(settings.model, settings.features, 2).to("cuda").train()
        trimmer = model.trimmer_of_batches()
        trimmer.is_done_before = True
        optimizer = build_optimizer(model, settings.optimizer)

        def differentiate(batch):
            with torch.autocast("cuda", torch.bfloat16):
                losses = torch.nn.functional.cross_entropy(
                    model(batch), batch.labels, reduction="none"
                )
                loss = (losses * batch.jet_weights).sum() / batch.jet_weights.sum()
            loss.backward()
            return loss.detach()

        lengths = np.random.default_rng(0).poisson(49, jets).clip(1, 128).tolist()
        batch = toy_batch(lengths=lengths).pin_memory()
        steps = GraphedSteps(differentiate, optimizer, jets, settings.model.max_particles)
        with mock.patch.object(tensors, "dispatch", _watched(recorder, tensors.dispatch)):
            for _ in range(3):
                recorder.calls.clear()
                recorder.kept.clear()
                if graphed:
                    steps(batch, torch.device("cuda"))
                else:
                    differentiate(batch.to("cuda"))
                    optimizer.step()
                    optimizer.zero_grad()
        return list(recorder.calls)


def fused(calls: list[Call]) -> tuple[int, int]:
    """Return launches and bytes if operations between two products are one."""
    used_at: dict[int, int] = {}
    for number, call in enumerate(calls):
        used_at |= dict.fromkeys(call.reads, number)
    launches = moved = 0
    run: list[int] = []

    def close() -> None:
        nonlocal launches, moved
        if not run:
            return
        made: set[int] = set()
        for number in run:
            call = calls[number]
            moved += sum(size for place, size in call.reads.items() if place not in made)
            moved += sum(s for p, s in call.writes.items() if used_at.get(p, -1) > run[-1])
            made |= set(call.writes)
        launches += 1
        run.clear()

    for number, call in enumerate(calls):
        if call.name in _BY_NUMBER:
            run.append(number)
            continue
        if call.name != "sum":
            close()
        launches += call.launches
        moved += sum(call.reads.values()) + sum(call.writes.values())
    close()
    return launches, moved


def moved(calls: list[Call]) -> int:
    """Return the bytes that operations move, each alone."""
    return sum(sum(c.reads.values()) + sum(c.writes.values()) for c in calls)


def bytes_a_jet(few: list[Call], more: list[Call], jets: int, of: Callable) -> float:
    """Return bytes a jet in batches of ``_BATCH``, from a batch of some jets and one of twice that.

    What a step moves whatever it is given, such as weights, is shared by the jets of a batch.
    """
    of_jet = (of(more) - of(few)) / jets
    return of_jet + (of(few) - jets * of_jet) / _BATCH


def host_milliseconds(steps: int = 200) -> float:
    """Return the median time that the host takes for a step but for what is captured.

    On a few small jets on the CPU, where an operation takes little more than its launch; the graph
    itself is not run.
    """
    settings = load_config(RECIPE, ["model.kernels=torch", "model.num_layers=1"])
    model = build_model(settings.model, settings.features, 2).train()
    optimizer = build_optimizer(model, settings.optimizer)

    def differentiate(batch):
        loss = (model(batch).sum(dim=1) * batch.jet_weights).sum()
        loss.backward()
        return torch.stack([loss.detach()] * 4)

    batch = toy_batch(lengths=[3, 5, 2])
    seconds = []
    result = torch.zeros(4)
    longest = settings.model.max_particles
    taken = GraphedSteps(differentiate, optimizer, 4, longest, capture=lambda _: lambda: result)
    for _ in range(steps):
        began = time.perf_counter()
        sums = taken(batch, torch.device("cpu"))
        sums[0] / sums[1] + sums
        seconds.append(time.perf_counter() - began)
    return 1e3 * statistics.median(seconds[steps // 4 :])


def main() -> None:
    """Count, print, and write the numbers if asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jets", type=int, default=32)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = {}
    for name, graphed in (("eager", False), ("graph", True)):
        few, calls = (count(n * args.jets, graphed=graphed) for n in (1, 2))
        outside = [call for call in calls if not call.is_captured]
        launches, _ = fused(calls)
        rows[name] = {
            "launches by the host": sum(c.launches for c in outside) + graphed,
            "launches in all": sum(c.launches for c in calls),
            "launches in all, fused": launches,
            **{
                f"MB a jet of {_BATCH}{what}": bytes_a_jet(few, calls, args.jets, of) / 1e6
                for what, of in (
                    (", each operation alone", moved),
                    (", fused", lambda c: fused(c)[1]),
                )
            },
            "most": Counter(c.name for c in calls).most_common(25),
        }
    rows["host ms outside the graph"] = host_milliseconds()
    print(json.dumps(rows, indent=1))
    if args.json:
        args.json.write_text(json.dumps(rows))


if __name__ == "__main__":
    main()
