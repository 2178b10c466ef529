"""Several tasks of one network: classes, targets, origins of particles and their vertices.

The loss is Σ w_k L_k. L_k is the mean over what task k is about, of all ranks: jets, those alone
that have the target, particles of known class, pairs of particles of known vertices, each with the
weight of its jet. The head reads what the network makes of a jet and of each of its particles.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from parttag.errors import InputError
from parttag.jets.batch import JetBatch
from parttag.models import ParticleEncoder, Tagger
from parttag.models.layers.task_heads import TaskHead
from parttag.ops.collectives import sum_over_ranks
from parttag.ops.layout import JetLayout
from parttag.training.objectives.classify import classification_sums
from parttag.training.objectives.objective import (
    BatchSums,
    Objective,
    ObjectiveOptions,
    TaskSums,
)
from parttag.training.objectives.registry import register_objective
from parttag.training.objectives.task_losses import origin_sums, target_sums, vertex_sums
from parttag.training.objectives.task_options import CLASSIFY, ORIGIN, VERTEX, TasksOptions


@register_objective("tasks")
class Tasks(Objective):
    """Sums of the tasks' losses; the metrics are the loss of each, and how often it is right."""

    options_class = TasksOptions
    weighs_metrics = True

    def __init__(self, options: TasksOptions) -> None:
        self.options = options

    @classmethod
    def needs_labels_with(cls, options: ObjectiveOptions) -> bool:
        """Return whether the classes of the jets are learned."""
        return isinstance(options, TasksOptions) and options.classify is not None

    @classmethod
    def gives_scores_with(cls, options: ObjectiveOptions) -> bool:
        """Return whether the classes of the jets are learned."""
        return cls.needs_labels_with(options)

    @property
    def learns_uncertainty_of(self) -> tuple[str, ...]:
        """The tasks whose weight is learned."""
        if self.options.weights == "fixed":
            return ()
        targets = self.truth.targets
        return tuple(
            name
            for name in self.options.tasks
            if name not in targets or targets[name].loss != "gaussian"
        )

    def build_head(self, model: Tagger) -> TaskHead:
        """Return the heads of all tasks; the network's own becomes that of the classes.

        Raises
        ------
        InputError
            If the network makes its logits in a way of its own, or has nothing to say of particles
            that a task is about.
        """
        name = type(model).options_class.model_fields["name"].default
        options = self.options
        if type(model).forward is not Tagger.forward:
            raise InputError(
                f"objective.name: {name} makes its logits in a way of its own, which leaves no "
                "place for several tasks; choose another network"
            )
        of_particles = [task for task in (ORIGIN, VERTEX) if task in options.tasks]
        if of_particles and not isinstance(model, ParticleEncoder):
            raise InputError(
                f"objective.tasks.{of_particles[0]}: {name} makes nothing of single particles; "
                "choose model.name=particle_transformer, or leave the task out"
            )
        self.metric_names = tuple(
            metric for task in options.tasks for metric in (f"{task}_loss", *_accuracies(task))
        )
        return TaskHead(
            model.encoded_width + len(model.jet_feature_names),
            classify=model.head if options.classify is not None else None,
            targets={target: self.truth.targets[target] for target in options.targets},
            particle_width=model.particle_width if isinstance(model, ParticleEncoder) else 0,
            num_origins=0 if options.origin is None else len(options.origin.classes),
            has_vertex=options.vertex is not None,
            num_uncertainties=len(self.learns_uncertainty_of),
        )

    def __call__(self, model: Tagger, batch: JetBatch) -> BatchSums:
        """Return the sums over the jets of a batch."""
        found = self.task_sums(model, batch)
        sizes = [sums.size for sums in found.values()]
        own = batch.jet_weights.abs().sum()
        with torch.no_grad():
            total = sum_over_ranks(torch.stack([*sizes, own]).detach().double())
            counted, size = total[:-1], total[-1]
            # The loop divides by the jets of all ranks; each task is a mean over its own.
            factors = torch.where(counted > 0, size / counted.clamp(min=1e-300), 0.0)
        head = model.head
        assert isinstance(head, TaskHead)
        loss = own * 0
        learned = self.learns_uncertainty_of
        for number, (name, sums) in enumerate(found.items()):
            part = self.options.tasks[name].weight * sums.loss * factors[number].to(own.dtype)
            if head.log_variances is not None and name in learned:
                log_variance = head.log_variances[learned.index(name)]
                is_there = (counted[number] > 0).to(own.dtype)
                part = part * torch.exp(-log_variance) + own * is_there * log_variance
            loss = loss + part
        metrics: dict[str, Tensor] = {}
        weights: dict[str, Tensor] = {}
        for name, sums in found.items():
            rights = zip(_accuracies(name), sums.metrics.values(), strict=True)
            named = {f"{name}_loss": sums.loss, **dict(rights)}
            metrics |= named
            weights |= dict.fromkeys(named, sums.weight)
        return BatchSums(
            loss=loss,
            weight=batch.jet_weights.sum(),
            size=own,
            metrics=metrics,
            weights=weights,
        )

    def task_sums(self, model: Tagger, batch: JetBatch) -> dict[str, TaskSums]:
        """Return the sums of each task, over the jets of this rank."""
        seen = look(model, batch, with_particles=bool(self.options.particle_columns))
        head = model.head
        assert isinstance(head, TaskHead)
        return {name: self._sums_of(name, head, seen) for name in self.options.tasks}

    def _sums_of(self, name: str, head: TaskHead, seen: "Seen") -> TaskSums:
        options, batch = self.options, seen.batch
        if options.classify is not None and name == CLASSIFY:
            classes = self.truth.classes
            return classification_sums(head(seen.jets), batch, options.classify, classes)
        if options.origin is not None and name == ORIGIN:
            logits = seen.origin_logits(head)
            return origin_sums(logits, batch, seen.layout.jet_of_particle, options.origin)
        if options.vertex is not None and name == VERTEX:
            return vertex_sums(seen.vertex_logits(head), batch, seen.layout, options.vertex)
        return target_sums(head.target(name, seen.jets), batch, self.truth.targets[name])


@dataclass(frozen=True)
class Seen:
    """What a network has made of a batch."""

    batch: JetBatch
    """Perhaps with fewer particles than it had."""
    jets: Float[Tensor, "jets width"]
    """With the features of the jet, as heads read them."""
    particles: Float[Tensor, "particles particle_width"] | None
    layout: JetLayout

    def origin_logits(self, head: TaskHead) -> Float[Tensor, "particles classes"]:
        """Return the scores of each particle."""
        assert head.origin is not None
        assert self.particles is not None
        scores: Tensor = head.origin(self.particles, self.jets, self.layout.jet_of_particle)
        return scores

    def vertex_logits(self, head: TaskHead) -> Float[Tensor, " pairs"]:
        """Return whether the particles of each pair share a vertex."""
        assert head.vertex is not None
        assert self.particles is not None
        logits: Tensor = head.vertex(self.particles, self.jets, self.layout)
        return logits


def look(model: Tagger, batch: JetBatch, *, with_particles: bool) -> Seen:
    """Return what a network makes of a batch, from one pass."""
    particles = None
    if with_particles:
        assert isinstance(model, ParticleEncoder)
        batch, encoded, particles = model.encode_both(batch)
    else:
        encoded = model.encode(batch)
    layout = JetLayout(batch.lengths, batch.device)
    return Seen(batch, model.with_jet_features(encoded, batch), particles, layout)


def _accuracies(task: str) -> tuple[str, ...]:
    """Return the metrics of a task besides its loss."""
    named = {CLASSIFY: "accuracy", ORIGIN: "origin_accuracy", VERTEX: "vertex_accuracy"}
    return (named[task],) if task in named else ()
