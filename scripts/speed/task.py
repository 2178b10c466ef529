"""What the contestants of one task do, taking turns; to be run in a process of its own."""

import argparse
import resource
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import torch
from speed.contestants import (
    Jets,
    Ours,
    Peer,
    contestants,
    read_jets,
    take_turns,
    write_peer_inputs,
)

from parttag.runs.config import load_config

CONFIGS = Path(__file__).parents[2] / "configs" / "toptagging"
PEER_LENGTH = 128
Rates = dict[str, dict[str, object]]


class Measured(NamedTuple):
    """What one task's contestants did."""

    rates: Rates
    peak_memory_gb: dict[str, float]
    peer: dict[str, object] | None


def our_network(args: argparse.Namespace, **kinds: bool) -> tuple[Jets, Ours]:
    """Return the jets and our network, which takes them."""
    torch.set_num_threads(args.threads)
    settings = load_config(CONFIGS / f"{args.model}.yaml")
    jets = read_jets(settings, args.data, args.jets)
    batches = jets.batches(args.batch, settings.model.max_particles)
    return jets, Ours(settings, batches, args.device, clock=args.clock, **kinds)


def measure(args: argparse.Namespace, task: str) -> Measured:
    """Return what one task's contestants do, taking turns."""
    jets, plain = our_network(args)
    ours = {"ours": plain}
    if args.compiled:
        _, ours["ours compiled"] = our_network(args, compiled=True)
    if args.graphed and task == "training":
        _, ours["ours graphed"] = our_network(args, graphed=True, compiled=args.compiled)
    with TemporaryDirectory() as directory:
        peer = None
        if args.peer_python:
            inputs = Path(directory) / "inputs.npz"
            write_peer_inputs(jets, plain.network.feature_names, PEER_LENGTH, inputs)
            peer = Peer(args.peer_python, inputs, args.device, args.threads, args.clock)
        entrants = contestants(
            ours,
            peer,
            args.precisions,
            peer_precisions=args.peer_precisions or args.precisions,
            variants=args.peer_variants,
            batch=args.batch,
            tasks=[task],
        )
        seconds = take_turns(entrants, args.rounds, args.steps)
        if peer:
            peer.close()
    rates = rates_of(seconds, args.batch)
    return Measured(rates, peak_memory(task, ours, peer), peer.description if peer else None)


def rates_of(seconds: dict[str, list[float]], batch: int) -> Rates:
    """Return jets a second of the median step of each contestant, with their quartiles."""
    rates: Rates = {}
    for name, values in seconds.items():
        low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
        rates[name] = {"jets_per_second": batch / median, "quartiles": [batch / high, batch / low]}
    return rates


def peak_memory(task: str, ours: dict[str, Ours], peer: Peer | None) -> dict[str, float]:
    """Return the GB of each contestant in its last round on a GPU; on a CPU, those of our process.

    Ours count the parameters and optimizers of all our contestants, some 30 MB each.
    """
    runners = {**ours, **({"weaver": peer} if peer else {})}
    peaks = {
        " ".join((name, *key)): value / 1e9
        for name, runner in runners.items()
        for key, value in runner.peak_bytes.items()
    }
    return peaks or {f"ours {task}": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6}
