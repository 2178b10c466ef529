"""The logits of a distillation's teacher: computed once, and kept beside the jets.

They are a file of NumPy's, ``.NAME.teacher_KEY`` beside the first file or store of the jets, the
key being that of the teachers' weights, the classes and the jets; in the run's own directory where
there one may not write. Nothing else depends on it: it may be deleted.
"""

import hashlib
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32

from parttag.data.jet_files import JetFiles
from parttag.data.loading.dataset import JetDataset
from parttag.data.loading.loader import JetLoader
from parttag.errors import InputError
from parttag.jets.feature_lists import required_extras
from parttag.runs import calibration
from parttag.runs.config import RunConfig
from parttag.runs.run import Run, load_run
from parttag.system.atomic_files import whole_file
from parttag.system.files import sha256
from parttag.training.objectives.distill import Distill, TeacherLogits

logger = logging.getLogger(__name__)

OpenJets = Callable[[RunConfig], JetDataset]
"""Opens the jets of a training with the columns that a configuration's network reads."""

_BATCH = 256


def take_teacher(
    objective: Distill,
    config: RunConfig,
    directory: Path,
    open_train: OpenJets,
    open_val: OpenJets | None,
    device: torch.device,
) -> None:
    """Give a distillation what its teachers say of the jets.

    Raises
    ------
    InputError
        If a teacher is no run of a classifier with these classes, or the jets lack a column that it
        reads.
    """
    runs = [_teacher(name, config) for name in objective.options.teachers]
    train = _logits(runs, config, "train", directory, open_train, device)
    objective.train_logits = train.to(device)
    if open_val is not None:
        val = _logits(runs, config, "val", directory, open_val, device)
        objective.val_logits = val.to(device)


def _teacher(name: str, config: RunConfig) -> Run:
    run = load_run(name)
    run.refuse_folds("a distillation")
    if not run.config.is_classifier:
        raise InputError(f"objective.teacher: {name} tells no classes apart; give a classifier")
    run.refuse_multi_label("a distillation")
    missing = [c for c in config.data.classes if c not in run.classes]
    if missing:
        raise InputError(
            f"objective.teacher: {name} knows the classes {', '.join(run.classes)}, and not "
            f"{missing[0]}; give a teacher of data.classes"
        )
    return run


def _logits(
    runs: Sequence[Run],
    config: RunConfig,
    part: str,
    directory: Path,
    open_jets: OpenJets,
    device: torch.device,
) -> TeacherLogits:
    classes = tuple(config.data.classes)
    jets = open_jets(_reading(config, runs[0]))
    path = _file(runs, config, jets, part)
    fallback = directory / path.name
    for known in (path, fallback):
        if known.is_file():
            with np.load(known) as file:
                return TeacherLogits(file["index"], file["logits"])
    logger.info("the teacher scores %d jets of data.%s", len(jets), part)
    scores = [_scores(run, open_jets(_reading(config, run)), classes, device) for run in runs]
    index = scores[0][0]
    if len(runs) == 1:
        logits = scores[0][1]
    else:
        of_all = [torch.from_numpy(one[1]).log_softmax(dim=1) for one in scores]
        mean = torch.stack(of_all).logsumexp(dim=0) - np.log(len(runs))
        logits = mean.numpy()
    _keep(path, fallback, index, logits)
    return TeacherLogits(index, logits)


def _reading(config: RunConfig, run: Run) -> RunConfig:
    """Return the configuration of a training with the features of its teacher."""
    return config.model_copy(
        update={
            "features": run.config.features,
            "jet_features": run.config.jet_features,
            "model": run.config.model,
        }
    )


@torch.inference_mode()
def _scores(
    run: Run, jets: JetDataset, classes: Sequence[str], device: torch.device
) -> tuple[np.ndarray, Float32[np.ndarray, "jets classes"]]:
    """Return the index of each jet, and the logits of these classes."""
    network = run.model.eval().to(device)
    names = run.config.network_features
    loader = JetLoader(
        jets,
        _BATCH,
        shuffle=False,
        max_particles=network.max_particles,
        extras=bool(required_extras(names) or run.config.wanted_columns.particles),
    )
    columns = [run.classes.index(name) for name in classes]
    index, logits = [], []
    for batch in loader:
        index.append(batch.index.numpy())
        logits.append(network(batch.to(device)).float().cpu().numpy()[:, columns])
    run.model.to("cpu")
    return np.concatenate(index), np.concatenate(logits)


def _file(runs: Sequence[Run], config: RunConfig, jets: JetDataset, part: str) -> Path:
    """Return where the logits of these jets are kept."""
    digest = hashlib.sha256()
    for run in runs:
        for path in sorted(run.directory.rglob("*")):  # of an ensemble, those of all members
            if path.name in (f"{run.checkpoint}.pt", calibration.FILE):
                digest.update(sha256(path).encode())
    chosen = config.data.model_dump(mode="json", exclude={"train", "val", "test", "reweight"})
    seed = config.training.seed if config.data.draw_by_seed else None
    digest.update(repr((part, jets.provenance(), len(jets), chosen, seed)).encode())
    source = JetFiles(getattr(config.data, part)).paths[0]
    # Hidden, and of no format of jets: no directory or glob of jets takes it for some.
    return source.with_name(f".{source.name}.teacher_{digest.hexdigest()[:16]}")


def _keep(path: Path, fallback: Path, index: np.ndarray, logits: np.ndarray) -> None:
    """Write the logits beside the jets, or into the run where that cannot be."""
    for target in (path, fallback):
        try:
            with whole_file(target) as partial, partial.open("wb") as file:
                np.savez(file, index=index, logits=logits)
        except (OSError, InputError):
            continue
        return
