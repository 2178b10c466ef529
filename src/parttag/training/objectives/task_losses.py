"""The losses of targets, of particles and of pairs of them, each a sum over what it is about."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor
from torch.nn import functional as F

from parttag.jets.batch import JetBatch
from parttag.jets.kinds import KIND_COLUMN, require_kinds
from parttag.jets.targets import TargetOptions
from parttag.ops.layout import JetLayout
from parttag.training.objectives.objective import TaskSums
from parttag.training.objectives.task_options import OriginTask, VertexTask


def target_losses(
    outputs: Float[Tensor, "jets outputs"],
    truth: Float[Tensor, " jets"],
    options: TargetOptions,
) -> Float[Tensor, " jets"]:
    """Return the loss of each jet, of standardized outputs and targets.

    Squared and absolute differences are not halved, but for the Gaussian's and Huber's, which are
    −ln of a density up to a constant and ½r² near 0.
    """
    if options.loss == "quantiles":
        over = truth[:, None] - outputs
        shares = [
            torch.maximum(share * over[:, n], (share - 1) * over[:, n])
            for n, share in enumerate(options.quantiles)
        ]
        return torch.stack(shares).mean(dim=0)
    off = truth - outputs[:, 0]
    if options.loss == "gaussian":
        return 0.5 * (off * torch.exp(-outputs[:, 1])).square() + outputs[:, 1]
    if options.loss == "huber":
        return F.huber_loss(outputs[:, 0], truth, reduction="none", delta=options.delta)
    if options.loss == "log_cosh":
        far = off.abs()
        return far + torch.log1p(torch.exp(-2 * far)) - math.log(2)
    return off.square()


def target_sums(
    outputs: Float[Tensor, "jets outputs"], batch: JetBatch, options: TargetOptions
) -> TaskSums:
    """Return the sums over the jets that have the target."""
    truth = options.standardized(batch)
    known = truth.isfinite()
    # A value in place of the missing ones, so that no gradient is NaN.
    losses = target_losses(outputs.to(truth.dtype), torch.where(known, truth, 0), options)
    weights = batch.jet_weights * known
    return TaskSums((weights * losses).sum(), weights.sum(), weights.abs().sum(), {})


def origins(batch: JetBatch, task: OriginTask) -> Int64[Tensor, " particles"]:
    """Return the class of each real particle, −1 where it is of none."""
    column = batch.particle_column(task.column)[: batch.num_particles]
    classes = torch.full_like(column, -1, dtype=torch.int64)
    is_meant = of_kinds(batch, task.kinds)
    for number, values in enumerate(task.classes.values()):
        for value in values:
            classes = torch.where((column == value) & is_meant, number, classes)
    return classes


def of_kinds(batch: JetBatch, kinds: Sequence[str]) -> Bool[Tensor, " particles"]:
    """Return which real particles are of these kinds; all if there are none of these.

    Raises
    ------
    InputError
        If the jets have no such kind.
    """
    if not kinds:
        return torch.ones(batch.num_particles, dtype=torch.bool, device=batch.device)
    require_kinds(kinds, batch.kinds, "objective.tasks: the data")
    column = batch.particle_column(KIND_COLUMN)[: batch.num_particles]
    numbers = [number for number, (name, _) in enumerate(batch.kinds) if name in kinds]
    return torch.stack([column == number for number in numbers]).any(dim=0)


def known_vertices(batch: JetBatch, task: VertexTask) -> Float64[Tensor, "particles columns"]:
    """Return number or coordinates of each real particle's vertex, NaN where it is not known."""
    columns = [batch.particle_column(name)[: batch.num_particles] for name in task.column]
    values = torch.stack([column.double() for column in columns], dim=1)
    is_known = values.isfinite().all(dim=1) & of_kinds(batch, task.kinds)
    if len(columns) == 1:
        is_known = is_known & (values[:, 0] >= 0)
    return torch.where(is_known[:, None], values, math.nan)


def origin_sums(
    logits: Float[Tensor, "particles classes"],
    batch: JetBatch,
    jet_of_particle: Int64[Tensor, " particles"],
    task: OriginTask,
) -> TaskSums:
    """Return the sums over the particles of known class, each of the weight of its jet."""
    truth = origins(batch, task)
    losses = F.cross_entropy(logits, truth, reduction="none", ignore_index=-1)
    right = logits.detach().argmax(dim=1) == truth
    weights = batch.jet_weights.index_select(0, jet_of_particle) * (truth >= 0)
    return TaskSums(
        (weights * losses).sum(),
        weights.sum(),
        weights.abs().sum(),
        {"accuracy": (weights * right).sum()},
    )


def vertex_pairs(
    vertices: Float64[Tensor, "particles columns"], first: Tensor, second: Tensor, within: float
) -> tuple[Bool[Tensor, " pairs"], Bool[Tensor, " pairs"]]:
    """Return which pairs of particles share a vertex, and of which pairs that is known.

    Parameters
    ----------
    vertices
        Of ``known_vertices``.
    first, second
        The particles of each pair; of a particle with itself it is not known.
    """
    distance = (vertices.index_select(0, first) - vertices.index_select(0, second)).square()
    apart = distance.sum(dim=1)
    known = apart.isfinite() & (first != second)
    return (apart <= within**2) & known, known


def vertex_sums(
    logits: Float[Tensor, " pairs"], batch: JetBatch, layout: JetLayout, task: VertexTask
) -> TaskSums:
    """Return the sums over the pairs of different particles whose vertices are known."""
    share, known = vertex_pairs(
        known_vertices(batch, task), layout.first, layout.second, task.within
    )
    losses = F.binary_cross_entropy_with_logits(
        logits.to(batch.jet_weights.dtype), share.to(batch.jet_weights.dtype), reduction="none"
    )
    right = (logits.detach() > 0) == share
    jet = layout.jet_of_particle.index_select(0, layout.first)
    weights = batch.jet_weights.index_select(0, jet) * known
    return TaskSums(
        (weights * losses).sum(),
        weights.sum(),
        weights.abs().sum(),
        {"accuracy": (weights * right).sum()},
    )
