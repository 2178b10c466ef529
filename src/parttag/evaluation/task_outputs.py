"""What a network says besides the classes: targets of jets, origins and vertices of particles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import awkward as ak
import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor

from parttag.errors import InputError
from parttag.jets.arrays import JetArrays
from parttag.jets.batch import JetBatch, make_batch
from parttag.jets.kinds import KIND_COLUMN, KindLimits, MaxParticles
from parttag.jets.packing import offsets_of, places, take_packed
from parttag.jets.targets import TargetOptions, jet_quantity
from parttag.jets.validity import source_name
from parttag.models import Tagger
from parttag.models.ensemble import Ensemble
from parttag.models.layers.task_heads import TaskHead
from parttag.models.scaling import scaling_of
from parttag.ops.layout import JetLayout
from parttag.runs.config import RunConfig
from parttag.training.objectives.task_losses import known_vertices, origins, vertex_pairs
from parttag.training.objectives.task_options import TasksOptions
from parttag.training.objectives.tasks import look

JetColumns = dict[str, np.ndarray | ak.Array]
"""Columns by name: a number a jet, or a list of one a particle, in order of falling pT."""

_UNKNOWN = -1


@dataclass(frozen=True)
class TaskOutputs:
    """What a run with several tasks says of jets, and what is true of them.

    Parameters
    ----------
    options
        Of the objective.
    targets
        Those that are tasks.
    num_classes
        How many logits there are.
    with_truth
        Whether predictions come with what is true of the jets.
    """

    options: TasksOptions
    targets: Mapping[str, TargetOptions]
    num_classes: int
    with_truth: bool = False

    @classmethod
    def of_run(
        cls, config: RunConfig, model: Tagger, *, with_truth: bool = False
    ) -> TaskOutputs | None:
        """Return those of a run; ``None`` if it says nothing but the classes, as ensembles do."""
        if not isinstance(config.objective, TasksOptions) or isinstance(model, Ensemble):
            return None
        num_classes = len(config.data.classes) if config.is_classifier else 0
        return cls(config.objective, config.learned_targets, num_classes, with_truth)

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that predictions have."""
        jets = [f"pred_{name}{s}" for name, own in self.targets.items() for s in own.suffixes]
        return (*jets, *(f"pred_{task}" for task in self.options.particle_columns))

    @property
    def width(self) -> int:
        """Numbers of a jet that ``compute`` returns; the last is NaN if the network is spoiled."""
        return self.num_classes + sum(len(own.suffixes) for own in self.targets.values()) + 1

    def compute(
        self, model: Tagger, batch: JetBatch
    ) -> tuple[Float[Tensor, "jets width"], Int64[Tensor, "particles tasks"]]:
        """Return logits and targets of jets, in units, and class and vertex of particles.

        Targets are NaN where what they are relative to is. So that the network's own outputs can be
        told from that, the last number of a jet is NaN where one of them is not finite, else 0.
        """
        head = model.head
        assert isinstance(head, TaskHead)
        seen = look(model, batch, with_particles=bool(self.options.particle_columns))
        logits: Tensor = head(seen.jets)
        scaling = scaling_of(model)
        if scaling is not None and self.num_classes:
            logits = scaling(model, None, logits)
        raw = {name: head.target(name, seen.jets).float() for name in self.targets}
        found = [head.predictions(name, own, seen.batch).float() for name, own in raw.items()]
        everything = torch.cat([logits.float(), *raw.values()], dim=1)
        spoiled = torch.where(everything.isfinite().all(dim=1, keepdim=True), 0.0, torch.nan)
        of_jets = [logits.float(), *found, spoiled]
        of_particles = []
        if self.options.origin is not None:
            of_particles.append(seen.origin_logits(head).argmax(dim=1))
        if self.options.vertex is not None:
            of_particles.append(found_vertices(seen.vertex_logits(head) > 0, seen.layout))
        together = (
            torch.stack(of_particles, dim=1)
            if of_particles
            else batch.offsets.new_empty((batch.num_particles, 0))
        )
        return torch.cat(of_jets, dim=1), together

    def of_all_particles(
        self,
        jets: JetArrays,
        computed: Int64[np.ndarray, "seen tasks"],
        rows: Int64[np.ndarray, " chosen"],
        max_particles: MaxParticles,
    ) -> Int64[np.ndarray, "all_particles tasks"]:
        """Return what is said of each particle of all jets, −1 of those that were not seen.

        Parameters
        ----------
        computed
            Of ``compute``, of all batches together.
        rows
            The jets of these batches, in their order.
        max_particles
            Of the network.
        """
        said = np.full((len(jets.p4), len(self.options.particle_columns)), _UNKNOWN)
        if said.size and len(rows):
            said[_seen_particles(jets, rows, max_particles)] = computed
        return said

    def columns(
        self,
        jets: JetArrays,
        outputs: Float32[np.ndarray, "jets width"],
        particles: Int64[np.ndarray, "all_particles tasks"],
    ) -> JetColumns:
        """Return the columns of predictions.

        Parameters
        ----------
        outputs
            Of ``compute``; NaN for jets that are not valid.
        particles
            Of ``compute``, of all particles of all jets; −1 where nothing is said.
        """
        said = outputs[:, self.num_classes : -1].T.copy()
        of_jets = self.names[: len(said)]
        found: JetColumns = dict(zip(of_jets, said, strict=True))
        for column, task in enumerate(self.options.particle_columns):
            found[f"pred_{task}"] = _jagged(particles[:, column], jets)
        return {**found, **self._truth(jets)} if self.with_truth else found

    def _truth(self, jets: JetArrays) -> JetColumns:
        """Return what is true of jets, and what stands beside the predictions.

        Raises
        ------
        InputError
            If the jets lack a column of it.
        """
        batch = _without_particles(jets)
        found: JetColumns = {}
        there = jets.jet_column_names
        for name, target in self.targets.items():
            found[f"true_{name}"] = target.values(batch).numpy()
            for column in target.compared:
                if column in there:
                    found[column] = jet_quantity(batch, column).float().numpy()
        origin, vertex = self.options.origin, self.options.vertex
        if origin is None and vertex is None:
            return found
        for task, own in self.options.particle_columns.items():
            lacking = [name for name in own if name not in jets.particle_column_names]
            if lacking:
                raise InputError(
                    f"objective.tasks.{task}.column: {source_name(jets)} has no particle column "
                    f"{lacking[0]}, which says what is true of particles; evaluate on jets that "
                    "have it"
                )
        whole = make_batch(jets)
        if origin is not None:
            found["true_origin"] = _jagged(origins(whole, origin).numpy(), jets)
        if vertex is not None:
            layout = JetLayout(whole.lengths)
            vertices = known_vertices(whole, vertex)
            share, _ = vertex_pairs(vertices, layout.first, layout.second, vertex.within)
            number = found_vertices(share, layout).numpy()
            is_known = vertices.isfinite().all(dim=1).numpy()
            found["true_vertex"] = _jagged(np.where(is_known, number, _UNKNOWN), jets)
        return found


def found_vertices(
    is_shared: Bool[Tensor, " pairs"], layout: JetLayout
) -> Int64[Tensor, " particles"]:
    """Return the vertex of each particle: that of all it is linked with, directly or by others.

    Parameters
    ----------
    is_shared
        Of each packed pair, whether its particles are linked.
    layout
        Where pairs and particles lie.

    Returns
    -------
    Tensor
        The place in the jet of the first particle of the vertex.
    """
    linked = torch.nonzero(is_shared)[:, 0]
    first, second = layout.first[linked], layout.second[linked]
    rows = torch.arange(layout.num_rows, device=is_shared.device)
    while True:
        low = torch.minimum(rows[first], rows[second])
        lower = rows.scatter_reduce(0, first, low, "amin").scatter_reduce(0, second, low, "amin")
        lower = lower[lower]  # what leads to a row leads to where that one leads
        if torch.equal(lower, rows):
            return rows - layout.offsets[layout.jet_of_particle]
        rows = lower


def _seen_particles(
    jets: JetArrays, rows: Int64[np.ndarray, " chosen"], max_particles: MaxParticles
) -> Int64[np.ndarray, " seen"]:
    """Return the particles of these jets that batches of them have, in their order."""
    if isinstance(max_particles, KindLimits):
        kind = jets[KIND_COLUMN] if jets.kinds else np.empty(0, np.uint8)
        is_seen = max_particles.keep(jets.kinds, kind, jets.lengths)
    else:
        most = len(jets.p4) if max_particles is None else max_particles
        is_seen = places(jets.lengths) < most
    offsets = offsets_of(is_seen.astype(np.int64))[jets.offsets]
    _, (seen,) = take_packed([np.flatnonzero(is_seen)], offsets, rows)
    return seen


def _jagged(values: Int64[np.ndarray, " particles"], jets: JetArrays) -> ak.Array:
    return ak.unflatten(values.astype(np.int32), jets.lengths)


def _without_particles(jets: JetArrays) -> JetBatch:
    """Return a batch of jets without particles, with their own momenta and columns."""
    return make_batch(
        replace(
            jets,
            p4=jets.p4[:0],
            extra=jets.extra[:0],
            columns=jets.columns[:0],
            offsets=np.zeros_like(jets.offsets),
        )
    )
