"""Linear probes: a classifier fitted to a network's representation of jets.

The network is left as it is. The representation of some labeled jets is standardized, a logistic
regression with an L2 penalty is fitted to it by scikit-learn, and takes the place of the network's
head: the network with it is evaluated as any other. The strength of the penalty is the one with the
lowest cross-entropy on a fifth of the labeled jets that the others were fitted without
(``logistic_regression.STRENGTHS``); then all of them are fitted. Nothing is random but the choice
of jets and of that fifth, which are the same every time.

What a probe is worth shows beside the same probe of the inputs and of an untrained network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from parttag.data.loading.dataset import JetDataset
from parttag.errors import InputError, option
from parttag.evaluation.batches import Precision, computing_in
from parttag.evaluation.evaluate import Data, evaluate_run, files_to_evaluate
from parttag.evaluation.evaluation import Evaluation, check_target
from parttag.evaluation.late_reads import Sent, one_behind, prepared_ahead
from parttag.jets.arrays import JetArrays
from parttag.jets.batch import JetBatch, make_batch
from parttag.jets.features import particle_features
from parttag.jets.kind_features import split_by_kind
from parttag.jets.kinds import KindLimits, names_by_kind
from parttag.metrics import EvaluationOptions, ProbeFit, check_options
from parttag.migrations.evaluations import earlier_options
from parttag.models import Tagger, build_model
from parttag.models.ensemble import Ensemble
from parttag.options import read_options
from parttag.progress import Progress, no_progress
from parttag.runs.run import Run
from parttag.runs.train import open_jets
from parttag.training.distributed import DeviceName, move_to
from parttag.training.objectives.classify import ClassifyOptions

ProbeOf = Literal["linear", "untrained", "raw"]
"""Probe the trained network, a network of the same kind without training, or its inputs."""

_DIRECTORIES = {"linear": "probe", "untrained": "probe_untrained", "raw": "probe_raw"}
_RAW_PARTICLES = 20
_BATCH = 512
# To hold a fifth back, with every class in it.
_LEAST_JETS_OF_A_CLASS = 5


@dataclass(frozen=True)
class LabeledJets:
    """The jets that a probe is fitted to; by default those that the run was trained on."""

    files: Sequence[str | Path] = ()
    """Files, globs, directories or stores; without any, the run's ``data.train``."""
    classes: Mapping[str, tuple[str, ...]] | None = None
    """The labels of each class; without any, those of the run."""
    most: int = 10_000
    """At most so many jets, drawn at random."""


def probe_run(
    run: Run,
    probe_of: ProbeOf = "linear",
    labeled: LabeledJets | None = None,
    data: Data | None = None,
    *,
    options: EvaluationOptions | None = None,
    strict: bool = False,
    precision: Precision = "fp32",
    device: DeviceName = "auto",
    progress: Progress = no_progress,
) -> Evaluation:
    """Fit a linear classifier to what a network makes of jets, and evaluate it.

    Parameters
    ----------
    run
        Of any objective.
    data
        What to evaluate on; by default the run's ``data.test``.
    options
        What is measured; by default the run's section ``evaluation``. If ``labeled`` has classes of
        its own, they say what is the background, as for a configuration without that section.
    strict, precision, device
        As of ``evaluate_run``.

    Raises
    ------
    InputError
        As ``evaluate_run``, or if no labels are known, there are too few jets of a class, or the
        representation of a jet is not finite.
    """
    run.refuse_folds("a probe")
    labeled = labeled or LabeledJets()
    directory = probe_directory(run.directory, probe_of)
    probed = replace(_to_probe(run, labeled, probe_of), directory=directory)
    # Not after what may take minutes.
    if not isinstance(data, JetArrays):
        _ = files_to_evaluate(run, data).paths
    check_options(probed.classes, options if options is not None else probed.config.evaluation)
    move_to(probed.model, device)
    place = next(probed.model.parameters()).device
    jets = _labeled_jets(probed, labeled, progress)
    with torch.inference_mode(), computing_in(precision, place):
        inputs, jet_weights = _represent(probed.model, jets, place, progress)
    if not np.isfinite(inputs).all():
        raise InputError(
            f"{run.directory}: what the network makes of some jets is not a finite number; its "
            "weights are spoiled, or the jets are unlike any it was trained on"
        )
    probe, strength = fit_probe(inputs, jets.classes, probed.classes, jet_weights)
    probed.model.head = probe.to(place)
    found = evaluate_run(
        probed,
        data,
        options=options,
        strict=strict,
        precision=precision,
        device=device,
        progress=progress,
    )
    fitted = ProbeFit(
        probe_of, len(jets), tuple(probed.config.data.train), inputs.shape[1], strength
    )
    return replace(found, probe=fitted)


def check_probe_target(
    run: Run,
    probe_of: ProbeOf,
    labeled: LabeledJets,
    directory: Path,
    *,
    overwrite: bool = False,
) -> None:
    """Refuse what ``Evaluation.save`` would refuse, before a probe is fitted for minutes.

    Raises
    ------
    InputError
        As ``evaluation.check_target``, or if no labels are known.
    """
    probed = replace(
        _to_probe(run, labeled, probe_of), directory=probe_directory(run.directory, probe_of)
    )
    check_target(probed, directory, overwrite=overwrite)


def probe_directory(run: Path, probe_of: ProbeOf) -> Path:
    """Return where the probe of the run in a directory is written to."""
    return run / "evaluation" / _DIRECTORIES[probe_of]


# -------------------------------------------------------------------------------- what is probed


class Probed(Tagger):
    """Another network's representation, and a head of its own."""

    backbone: Tagger

    def __init__(self, network: Tagger) -> None:
        super().__init__()
        self.feature_names = network.feature_names
        self.max_particles = network.max_particles
        self.backbone = network
        self.head = nn.Identity()

    def encode(self, batch: JetBatch) -> Float[Tensor, "jets width"]:
        """Return what the other network makes of each jet."""
        return self.backbone.encode(batch)


class RawInputs(Tagger):
    """The standardized features of the hardest particles, one after the other, zeros for none.

    Of several kinds of particles it is those of each kind.
    """

    takes_kinds = True

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__()
        self.feature_names = names
        self._kinds = names_by_kind(names)
        of_kind = tuple((kind, _RAW_PARTICLES) for kind in self._kinds)
        self.max_particles = KindLimits(of_kind) if of_kind else _RAW_PARTICLES
        self.backbone = nn.Identity()
        self.head = nn.Linear(_RAW_PARTICLES * len(names), 2)

    def encode(self, batch: JetBatch) -> Float[Tensor, "jets width"]:
        """Return the features of each jet's particles, in order of falling pT."""
        parts = [(batch, self.feature_names)]
        if self._kinds:
            _, kinds = split_by_kind(batch, tuple(self._kinds))
            parts = [(own, self._kinds[kind]) for kind, own in kinds.items()]
        padded = [
            jets.pad_values(particle_features(jets, names), _RAW_PARTICLES).flatten(start_dim=1)
            for jets, names in parts
        ]
        return torch.cat(padded, dim=1)


def _to_probe(run: Run, labeled: LabeledJets, probe_of: ProbeOf) -> Run:
    """Return the run as a classifier whose head is to be fitted."""
    if isinstance(run.model, Ensemble):
        raise InputError(
            f"{run.directory} is an ensemble, which has no representation of its own; probe a "
            f"member, such as {run.directory / 'members' / '0'}"
        )
    classes = labeled.classes or run.config.data.classes
    if len(classes) < 2:
        raise InputError(
            f"{run.directory}: the run has no data.classes; say which labels to tell apart by "
            f"{option('classes', '')}, such as {{top: label_top, QCD: label_QCD}}"
        )
    changes: dict[str, Any] = {"classes": dict(classes)}
    evaluation = run.config.evaluation
    if labeled.classes and set(labeled.classes) != set(run.classes):
        section = evaluation.model_dump(exclude={"background", "working_points", "discriminant"})
        evaluation = read_options(EvaluationOptions, section | earlier_options(list(classes)))
    if labeled.files:
        changes |= {"train": tuple(map(str, labeled.files)), "num_train_jets": None}
    config = run.config.model_copy(
        update={
            "data": run.config.data.model_copy(update=changes),
            "objective": ClassifyOptions(),
            "evaluation": evaluation,
        }
    )
    if probe_of == "raw":
        model: Tagger = RawInputs(config.network_features)
    elif probe_of == "untrained":
        model = _untrained(run)
    else:
        model = run.model
    return Run(run.directory, config, Probed(model).eval(), tuple(classes))


def _untrained(run: Run) -> Tagger:
    """Return a fresh network of the run's kind; what the training has not changed stays as it is.

    That is a tokenizer, without which there are no inputs.
    """
    config = run.config
    with torch.random.fork_rng([]):
        torch.manual_seed(config.training.seed)
        model = build_model(config.model, config.network_features, 2, config.head_features)
    modules = dict(model.named_modules())
    for name, trained in run.model.named_modules():
        parameters = list(trained.parameters())
        if parameters and not any(p.requires_grad for p in parameters) and name in modules:
            modules[name].load_state_dict(trained.state_dict())
    return model


def _labeled_jets(run: Run, labeled: LabeledJets, progress: Progress) -> JetDataset:
    data = run.config.data
    if not data.train:
        raise InputError(
            f"{run.directory}: the run has no data.train; name the jets to fit the probe to with "
            f"{option('train', '')}"
        )
    jets = open_jets(run.config, "train", progress)
    if data.num_train_jets is not None:
        seed = run.config.training.seed if data.draw_by_seed else None
        jets = jets.subset(data.num_train_jets, seed)
    return jets.subset(min(labeled.most, len(jets)))


def _represent(
    model: Tagger, jets: JetDataset, device: torch.device, progress: Progress
) -> tuple[Float[np.ndarray, "jets width"], Float[np.ndarray, " jets"]]:
    """Return what the network makes of each jet, and the jets' weights."""
    starts = range(0, len(jets), _BATCH)
    jet_weights = []

    def batch_from(start: int) -> JetBatch:
        taken = jets.take(np.arange(start, min(start + _BATCH, len(jets))))
        jet_weights.append(taken.jet_weights)
        batch = make_batch(taken, max_particles=model.max_particles)
        return batch.pin_memory() if device.type == "cuda" else batch

    batches = prepared_ahead(batch_from, starts, device)
    shown = progress(batches, total=len(starts), description="representing")
    encoded = (Sent(model.encode(batch.to(device)).float()) for batch in shown)
    parts = [sent.read().numpy() for sent in one_behind(encoded)]
    return np.concatenate(parts), np.concatenate(jet_weights)


# ------------------------------------------------------------------------------------ the probe


class LinearProbe(nn.Module):
    """Logits from a representation: standardized, then one linear layer."""

    mean: Tensor
    scale: Tensor

    def __init__(
        self,
        mean: Float[np.ndarray, " width"],
        scale: Float[np.ndarray, " width"],
        coefficients: Float[np.ndarray, "classes width"],
        intercepts: Float[np.ndarray, " classes"],
    ) -> None:
        super().__init__()
        self.register_buffer("mean", torch.from_numpy(mean).float())
        self.register_buffer("scale", torch.from_numpy(scale).float())
        self.linear = nn.Linear(len(mean), len(intercepts))
        with torch.no_grad():
            self.linear.weight.copy_(torch.from_numpy(coefficients))
            self.linear.bias.copy_(torch.from_numpy(intercepts))

    def forward(self, representation: Float[Tensor, "jets width"]) -> Float[Tensor, "jets classes"]:
        """Return the logits of every class for every jet."""
        logits: Tensor = self.linear((representation - self.mean) / self.scale)
        return logits


def fit_probe(
    inputs: Float[np.ndarray, "jets width"],
    labels: Int[np.ndarray, " jets"],
    classes: Sequence[str],
    jet_weights: Float[np.ndarray, " jets"],
) -> tuple[LinearProbe, float]:
    """Return the linear classifier of labeled jets, and the strength of its fit.

    Raises
    ------
    InputError
        If there are too few jets of a class, or a weight is negative.
    """
    if (jet_weights < 0).any():
        raise InputError(
            "data.train has jets of negative weight, to which no probe can be fitted: let them "
            "count without their signs by data.negative_weights=absolute of the run, or give other "
            f"files by {option('train', '')}"
        )
    for number, name in enumerate(classes):
        of_class = int((labels == number).sum())
        if of_class < _LEAST_JETS_OF_A_CLASS:
            raise InputError(
                f"data.train: there are {of_class} jets of class {name} among {len(labels)}, too "
                f"few to fit a probe to; take more with {option('probe_jets', '')}, or give other "
                f"files by {option('train', '')}"
            )
    mean, scale = inputs.mean(axis=0, dtype=np.float64), inputs.std(axis=0, dtype=np.float64)
    scale = np.where(scale > 0, scale, 1.0)
    values = (inputs - mean) / scale
    # scikit-learn takes two seconds to import, and most runs are never probed.
    from parttag.evaluation.logistic_regression import regress

    regression, strength = regress(values, labels, jet_weights)
    coefficients, intercepts = regression.coef_, regression.intercept_
    if len(classes) == 2:  # scikit-learn has the log-odds of the second class alone
        coefficients = np.concatenate([-coefficients, coefficients]) / 2
        intercepts = np.concatenate([-intercepts, intercepts]) / 2
    return LinearProbe(mean, scale, coefficients, intercepts), strength
