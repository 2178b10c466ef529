"""What makes steps on a GPU faster, and whether it is used: compiled parts, and CUDA graphs.

Nobody has seen them on every GPU. So ``auto`` takes them where a short trial on this machine has
given the numbers that plain steps give; see ``parttag.ops.kernels.trust``.
"""

import logging
from collections.abc import Callable
from functools import cache, partial
from typing import NamedTuple

import torch
from torch import Tensor

from parttag.errors import InputError
from parttag.jets.batch import JetBatch
from parttag.models import Tagger, build_model
from parttag.models.particle_transformer import ParticleTransformerOptions
from parttag.ops.kernels.trust import fault_of
from parttag.training.distributed import Ranks
from parttag.training.graph import GraphedSteps, Replay
from parttag.training.objectives import Objective
from parttag.training.optimizers import RangerOptions, build_optimizer
from parttag.training.options import TrainingOptions

logger = logging.getLogger(__name__)

Capture = Callable[[Replay], Replay]

_TOLERANCE = 1e-4
_LONGEST = 16
_NUM_JETS = 6


class Speedups(NamedTuple):
    """What is used."""

    is_compiled: bool
    is_graphed: bool


def choose_speedups(
    model: Tagger, objective: Objective, options: TrainingOptions, ranks: Ranks
) -> Speedups:
    """Return what the options ask for, or for ``auto`` what has been tried; say why not.

    Raises
    ------
    InputError
        If graphs are asked for where there can be none.
    """
    on_gpu = ranks.device.type == "cuda"
    is_compiled = options.compile is True
    if options.compile == "auto" and on_gpu:
        fault = _fault_of_compiling(model, ranks.device)
        is_compiled = fault is None
        if fault is not None:
            logger.info("training.compile=auto: not compiled: %s", fault)
    is_graphed = options.graph is True
    fault = why_never_graphed(model, objective, options, ranks)
    if is_graphed and fault is not None:
        raise InputError(f"training.graph: {fault}; choose training.graph=auto or false")
    if options.graph == "auto" and on_gpu:
        fault = fault or _fault_of_graphs(model, options, ranks.device, is_compiled=is_compiled)
        is_graphed = fault is None
        if fault is not None:
            logger.info("training.graph=auto: steps are no CUDA graphs: %s", fault)
    return Speedups(is_compiled, is_graphed)


def why_never_graphed(
    model: Tagger, objective: Objective, options: TrainingOptions, ranks: Ranks
) -> str | None:
    """Return why steps cannot be captured as CUDA graphs; ``None`` if they can."""
    if ranks.device.type != "cuda":
        return "CUDA graphs need a GPU"
    if ranks.size > 1:
        return "CUDA graphs are for one process"
    if not objective.takes_filled_batches:
        return "this objective takes no batches that are filled up to a size"
    if _path(model, options, ranks.device) is None:
        return (
            "this network takes no batches that are filled up to a size (the Particle Transformer "
            "does, with model.max_particles and without kernels: padded or reference)"
        )
    return None


def _path(model: Tagger, options: TrainingOptions, device: torch.device) -> str | None:
    dtype = torch.float64 if options.precision == "fp64" else torch.float32
    with torch.autocast(device.type, torch.bfloat16, enabled=options.precision == "bf16"):
        return model.path_if_filled(device, dtype)


def _fault_of_compiling(model: Tagger, device: torch.device) -> str | None:
    if not model.compiles_parts:
        return "this network would be compiled anew for batch after batch"
    return _fault(device, compiled=True, graphed=False)


def _fault_of_graphs(
    model: Tagger, options: TrainingOptions, device: torch.device, *, is_compiled: bool
) -> str | None:
    if _path(model, options, device) != "triton":
        return "plain torch would pad all jets to the longest that there may be"
    return _fault(device, compiled=is_compiled, graphed=True)


@cache
def _fault(device: torch.device, *, compiled: bool, graphed: bool) -> str | None:
    names = ["compiled parts"] * compiled + ["steps as CUDA graphs"] * graphed
    key = ", compiled" * compiled + ", graphed" * graphed
    trial = partial(try_steps, compiled=compiled, graphed=graphed)
    return fault_of(key, " and ".join(names), device, trial)


def try_steps(
    device: torch.device, *, compiled: bool, graphed: bool, capture: Capture | None = None
) -> str:
    """Return in what steps of a small network differ from plain ones; nothing if they do not.

    Random numbers of the process are left alone. Nothing is raised. ``capture`` is that of
    ``GraphedSteps``.
    """
    try:
        with (
            torch.inference_mode(mode=False),
            torch.enable_grad(),
            torch.random.fork_rng([device] if device.type == "cuda" else []),
        ):
            plain = _weights_after_steps(device, compiled=False, graphed=False)
            found = _weights_after_steps(
                device, compiled=compiled, graphed=graphed, capture=capture
            )
    except Exception as fault:  # noqa: BLE001 - whatever a compiler or driver says is the result
        return ": ".join([type(fault).__name__, *str(fault).strip().splitlines()[:1]])
    error = float((found - plain).norm() / plain.norm())
    return "" if error <= _TOLERANCE else f"weights after some steps are off by {error:.1e}"


def _weights_after_steps(
    device: torch.device, *, compiled: bool, graphed: bool, capture: Capture | None = None
) -> Tensor:
    torch.manual_seed(0)
    options = ParticleTransformerOptions(
        embed_dims=(32,),
        pair_dims=(16, 16),
        num_heads=2,
        num_layers=1,
        num_class_layers=1,
        dropout=0.0,
        trim=False,
        max_particles=_LONGEST,
    )
    model = build_model(options, "kin", 2).to(device).train()
    if compiled:
        model.compile(dynamic=True)
    optimizer = build_optimizer(model, RangerOptions(lr=1e-3))

    def differentiate(batch: JetBatch) -> Tensor:
        losses = torch.nn.functional.cross_entropy(model(batch), batch.labels, reduction="none")
        loss = (losses * batch.jet_weights).sum()
        torch.autograd.backward(loss)
        return loss.detach()

    steps = GraphedSteps(differentiate, optimizer, _NUM_JETS + 1, _LONGEST, capture=capture)
    for number in range(8):
        batch = _some_jets(number)
        if graphed:
            steps(batch, device)
        else:
            differentiate(batch.to(device))
            optimizer.step()
            optimizer.zero_grad()
    if steps.fault:
        raise RuntimeError(steps.fault)
    return torch.cat([p.detach().flatten() for p in model.parameters()]).double()


def _some_jets(seed: int) -> JetBatch:
    """Return jets of random particles; every batch is filled up to the same size."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.tensor([0, 1, _LONGEST, 5 + seed, 3, 9 - seed])
    p3 = torch.randn(int(lengths.sum()), 3, generator=generator)
    p4 = torch.cat([p3, p3.norm(dim=1, keepdim=True) + 0.1], dim=1)
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
    number = len(lengths)
    return JetBatch(
        p4=p4,
        extra=p4.new_zeros(len(p4), 0),
        extra_names=(),
        offsets=offsets,
        jet_p4=p4.new_ones(number, 4),
        jet_axis=p4.new_zeros(number, 2),
        labels=torch.arange(number) % 2,
        jet_weights=p4.new_ones(number),
        index=torch.arange(number),
        lengths=lengths.numpy(),
    )
