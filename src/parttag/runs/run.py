"""A finished run: a trained network, its configuration and where they came from."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from parttag.data.readers.columns import ColumnsOptions
from parttag.errors import InputError
from parttag.models import Tagger, build_model
from parttag.models.ensemble import Ensemble
from parttag.models.scaling import scale_logits
from parttag.models.shipped import find_pretrained
from parttag.options import local_name
from parttag.runs import calibration as calibrations
from parttag.runs import ensemble as ensembles
from parttag.runs.calibration import Calibration, read_calibration
from parttag.runs.config import CONFIG, RunConfig, build_config
from parttag.runs.folds import fold_directories, has_folds
from parttag.runs.plugin_parts import read_config
from parttag.system.files import sha256
from parttag.training import checkpoint
from parttag.training.objectives import Objective, Truth, build_objective

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """A trained tagger and where it comes from."""

    directory: Path
    """Or ``pretrained/NAME`` of a network that comes with parttag."""
    config: RunConfig
    model: Tagger
    """In evaluation mode, on the CPU."""
    classes: tuple[str, ...]
    checkpoint: Literal["best", "last"] = "best"
    """Which epoch the weights are of."""
    calibration: Calibration | None = None
    """What makes its scores mean what they say, in what ``model`` returns already."""
    fold_models: tuple[Tagger, ...] = ()
    """Of ``data.folds``, the network that has not seen the jets of each fold; ``model`` is the
    first of them."""

    def with_columns(self, columns: ColumnsOptions | None) -> "Run":
        """Return the run with another ``data.columns``, for files of other branches."""
        data = self.config.data.model_copy(update={"columns": columns})
        return replace(self, config=self.config.model_copy(update={"data": data}))

    def refuse_folds(self, what: str) -> None:
        """Refuse to do with several networks what can be done with one.

        Parameters
        ----------
        what
            What was to be done.

        Raises
        ------
        InputError
            If the run is of ``data.folds``.
        """
        if self.fold_models:
            raise InputError(
                f"{self.directory} holds a network a fold, which {what} cannot take: give one of "
                f"them, such as {self.directory / 'fold_0'}"
            )

    def refuse_multi_label(self, what: str) -> None:
        """Refuse what is made of scores of classes of which each jet is of one.

        Parameters
        ----------
        what
            What was to be done.

        Raises
        ------
        InputError
            If the run has no such scores.
        """
        if self.config.is_multi_label or not self.config.is_classifier:
            raise InputError(
                f"{self.directory}: {what} needs scores of classes of which each jet is of one, "
                "which this run does not give; choose a run without multi_label that has them"
            )


def load_run(
    directory: str | Path,
    checkpoint_name: Literal["best", "last"] = "best",
    *,
    calibrated: bool = True,
) -> Run:
    """Return the run in a directory, with the weights of its best epoch or its last.

    Parameters
    ----------
    directory
        Of the run, or ``pretrained/NAME``.
    checkpoint_name
        Which epoch; a calibration is of the best.
    calibrated
        Whether the network's logits are calibrated, if the run is.

    Raises
    ------
    InputError
        If the directory is no run, a plug-in that its network came from is missing, the checkpoint
        is missing, damaged or of another network, or the calibration of other weights; of
        ``data.folds``, that of any fold.
    """
    directory = Path(local_name(directory))
    if find_pretrained(directory) is not None:
        return _load_pretrained(directory)
    if not (directory / CONFIG).is_file():
        raise InputError(f"{directory} is not a run: it has no config.yaml")
    config = read_config(directory)
    classes = tuple(config.data.classes)
    if has_folds(config):
        places = fold_directories(config, directory)
        runs = [load_run(place, checkpoint_name, calibrated=calibrated) for place in places]
        return replace(join_folds(runs), directory=directory, config=config)
    if ensembles.is_ensemble(directory):
        return _load_ensemble(directory, config, checkpoint_name, calibrated=calibrated)
    model, _ = build_network(config)
    path = directory / "checkpoints" / f"{checkpoint_name}.pt"
    checkpoint.load_weights(model, checkpoint.read_checkpoint(path), classes, path)
    run = Run(directory, config, model.eval(), classes, checkpoint_name)
    return with_calibration(run) if calibrated else run


def _load_pretrained(name: Path) -> Run:
    """Return a network that comes with parttag; its weights are those of a single epoch."""
    path = checkpoint.weights_file(name)
    content = checkpoint.read_checkpoint(path)
    config = build_config(content["config"])
    classes = tuple(config.data.classes)
    model, _ = build_network(config)
    checkpoint.load_weights(model, content, classes, path)
    return Run(name, config, model.eval(), classes)


def _load_ensemble(
    directory: Path,
    config: RunConfig,
    checkpoint_name: Literal["best", "last"],
    *,
    calibrated: bool,
) -> Run:
    if checkpoint_name != "best":
        raise InputError(
            f"{directory} is an ensemble, of the best epochs of its members; load these"
        )
    members = [load_run(place).model for place in ensembles.member_directories(directory)]
    run = Run(directory, config, Ensemble(members).eval(), tuple(config.data.classes))
    return with_calibration(run) if calibrated else run


def weights_sum(run: Run) -> str:
    """Return the SHA-256 of the file of a run's weights, or of all of an ensemble's."""
    if ensembles.is_ensemble(run.directory):
        return ensembles.weights_sum(run.directory)
    if run.checkpoint == "best":
        return sha256(checkpoint.weights_file(run.directory))
    return sha256(run.directory / "checkpoints" / checkpoint.LAST)


def with_calibration(run: Run) -> Run:
    """Return a run that was loaded without its calibration, with it, if there is one.

    Raises
    ------
    InputError
        If it is damaged, or of other weights or classes.
    """
    path = run.directory / calibrations.FILE
    if not path.exists():
        return run
    if run.checkpoint != "best":
        logger.warning("%s is of the best epoch: scores of the last are not calibrated", path)
        return run
    found = read_calibration(run.directory, run.classes, weights_sum(run))
    if found is not None:
        scale_logits(run.model, found.scaling)
    return replace(run, calibration=found)


def join_folds(runs: Sequence[Run]) -> Run:
    """Return one run of the runs of all folds, which scores each jet by the one without it.

    Raises
    ------
    InputError
        If they are not the runs of all folds, each once, of the same classes.
    """
    runs = sorted(runs, key=_held_out)
    first = runs[0]
    folds = first.config.data.folds
    assert folds is not None
    for run in runs:
        own = run.config.data.folds
        assert own is not None
        if (own.number, own.by) != (folds.number, folds.by) or run.classes != first.classes:
            raise InputError(
                f"{run.directory} and {first.directory} are folds of different runs: give the "
                "folds of one run, or its own directory"
            )
    there = [_held_out(run) for run in runs]
    if there != list(range(folds.number)):
        missing = sorted(set(range(folds.number)) - set(there))
        named = ", ".join(map(str, missing)) or "none"
        raise InputError(
            f"{first.directory}: of {folds.number} folds there are {len(there)} runs, and that of "
            f"fold {named} is missing: give each fold once"
        )
    whole = folds.model_copy(update={"held_out": None})
    data = first.config.data.model_copy(update={"folds": whole})
    config = first.config.model_copy(update={"data": data})
    models = tuple(run.model for run in runs)
    return replace(first, config=config, fold_models=models, calibration=None)


def _held_out(run: Run) -> int:
    """Return the fold that a run has left out."""
    folds = run.config.data.folds
    if folds is None or folds.held_out is None:
        raise InputError(f"{run.directory} is no run of a fold: give it alone")
    return folds.held_out


def build_network(config: RunConfig) -> tuple[Tagger, Objective]:
    """Return the network, with a head for what it is trained for, and that."""
    # Where there are no classes, the head with one logit makes room for the objective's.
    model = build_model(
        config.model,
        config.network_features,
        len(config.data.classes) or 1,
        config.head_features,
    )
    truth = Truth(tuple(config.data.classes), config.learned_targets)
    return model, build_objective(config.objective, model, truth)
