"""Where the time of the Particle Transformer's training step goes, and the floor below it."""

import time
from collections import defaultdict

import numpy as np
import torch
from speed.contestants import Jets, Ours

from parttag.jets.batch import JetBatch, make_batch
from parttag.jets.features import particle_features
from parttag.models.particle_transformer import ParticleTransformer
from parttag.ops.attention import attend, spread_bias
from parttag.ops.kernels import choose_path
from parttag.ops.layout import JetLayout

# Multiply-adds of the published sizes, forwards: a particle, a pair in attention, a pair i ≥ j in
# the pair network; a training step takes three times as many.
_PER_PARTICLE, _PER_CELL, _PER_PAIR = 1.70e6, 2048, 8960
_TRAINING = 3
# Bytes of a particle and layer in a training step in bfloat16, and of it the forward pass.
_BYTES = {"training": 20e3, "inference": 6.6e3}
_LAYERS = 8


def part_times(ours: Ours, jets: Jets, steps: int) -> dict[str, float]:
    """Return the median seconds of the parts of a training step in fp32, each run alone."""
    if not isinstance(ours.network, ParticleTransformer):
        raise SystemExit("--parts knows the parts of particle_transformer alone; leave it out")
    seconds: dict[str, list[float]] = defaultdict(list)
    size = len(ours.batches[0])
    for number in range(steps):
        batch = ours.batches[number % len(ours.batches)]
        rows = np.random.default_rng(number).integers(len(jets.arrays), size=size)
        seconds["data"].append(ours.seconds(lambda rows=rows: _load(ours, jets, rows)))
        for name, value in _parts(ours, batch).items():
            seconds[name].append(value)
    result = {name: float(np.median(values)) for name, values in seconds.items()}
    step = result.pop("step")
    rest = step - sum(value for name, value in result.items() if name != "data")
    return {**result, "rest": rest, "step": step}


def _load(ours: Ours, jets: Jets, rows: np.ndarray) -> None:
    arrays = jets.arrays.take(rows, ours.network.max_particles)
    make_batch(arrays, jets.labels[rows]).to(ours.device)


def _parts(ours: Ours, batch: JetBatch) -> dict[str, float]:
    network = ours.network.train()
    backbone = network.backbone
    step = ours.seconds(lambda: ours.train(batch))
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer = ours.seconds(ours.optimizer.step)
    ours.optimizer.zero_grad()

    batch = batch.to(ours.device)
    path = choose_path(
        network.kernels, batch.device, batch.p4.dtype, network.head_width, batch.max_length
    )
    layout = JetLayout(batch.lengths, batch.device, path=path)
    heads = backbone.blocks[0].num_heads
    shape = (len(batch.p4), 3, heads, network.head_width)
    qkv = torch.randn(shape, device=ours.device, requires_grad=True)
    bias = torch.randn(heads, layout.num_pairs, device=ours.device, requires_grad=True)

    def attention() -> None:
        spread = spread_bias(bias, layout)
        total = sum(
            attend(qkv, spread, layout, block.attention_dropout).sum() for block in backbone.blocks
        )
        total.backward()

    return {
        "features": ours.seconds(lambda: particle_features(batch, network.feature_names)),
        "pair features and network": ours.seconds(
            lambda: backbone.pair_bias(batch.p4, layout).sum().backward()
        ),
        "attention": ours.seconds(attention),
        "optimizer": optimizer,
        "step": step,
    }


def floor_rates(jets: Jets, device: str, precision: str, max_particles: int) -> dict[str, float]:
    """Return the jets a second that the machine's own matrix products and memory would allow.

    The published sizes alone are counted. The bytes are those of bfloat16; fp32 has twice as many.
    """
    n = np.minimum(jets.arrays.lengths, max_particles).astype(float)
    products = n.mean() * _PER_PARTICLE + (n**2).mean() * _PER_CELL
    products += (n * (n + 1) / 2).mean() * _PER_PAIR
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    flop_rate, byte_rate = _matrix_rate(device, dtype), _memory_rate(device)
    rates = {}
    for task, factor in (("training", _TRAINING), ("inference", 1)):
        rates[f"{task}, products"] = flop_rate / (2 * factor * products)
        num_bytes = n.mean() * _LAYERS * _BYTES[task] * (1 if precision == "bf16" else 2)
        rates[f"{task}, bytes"] = byte_rate / num_bytes
    return rates


def _matrix_rate(device: str, dtype: torch.dtype) -> float:
    """Return the operations a second of a large matrix product."""
    size = 8192 if device == "cuda" else 2048
    a = torch.randn(size, size, device=device, dtype=dtype)
    return 2 * size**3 / _best(lambda: a @ a, device)


def _memory_rate(device: str) -> float:
    """Return the bytes a second of a copy, read and written."""
    a = torch.empty(2**30 if device == "cuda" else 2**27, dtype=torch.uint8, device=device)
    b = torch.empty_like(a)
    return 2 * a.numel() / _best(lambda: b.copy_(a), device)


def _best(function, device: str, repeats: int = 5) -> float:
    seconds = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        function()
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return min(seconds[1:])
