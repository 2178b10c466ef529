"""A finished run: a trained network, its configuration and where they came from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from parttag.data.readers.columns import ColumnsOptions
from parttag.errors import InputError
from parttag.models import Tagger, build_model
from parttag.options import local_name
from parttag.runs.config import CONFIG, RunConfig
from parttag.runs.folds import fold_directories, has_folds
from parttag.runs.plugin_parts import read_config
from parttag.training import checkpoint
from parttag.training.objectives import Objective, build_objective


@dataclass(frozen=True)
class Run:
    """A trained tagger and where it comes from."""

    directory: Path
    config: RunConfig
    model: Tagger
    """In evaluation mode, on the CPU."""
    classes: tuple[str, ...]
    checkpoint: Literal["best", "last"] = "best"
    """Which epoch the weights are of."""
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


def load_run(directory: str | Path, checkpoint_name: Literal["best", "last"] = "best") -> Run:
    """Return the run in a directory, with the weights of its best epoch or its last.

    Raises
    ------
    InputError
        If the directory is no run, a plug-in that its network came from is missing, or the
        checkpoint is missing, damaged or of another network; of ``data.folds``, that of any fold.
    """
    directory = Path(local_name(directory))
    if not (directory / CONFIG).is_file():
        raise InputError(f"{directory} is not a run: it has no config.yaml")
    config = read_config(directory)
    classes = tuple(config.data.classes)
    if has_folds(config):
        runs = [load_run(place, checkpoint_name) for place in fold_directories(config, directory)]
        return replace(join_folds(runs), directory=directory, config=config)
    model, _ = build_network(config)
    path = directory / "checkpoints" / f"{checkpoint_name}.pt"
    checkpoint.load_weights(model, checkpoint.read_checkpoint(path), classes, path)
    return Run(directory, config, model.eval(), classes, checkpoint_name)


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
                f"folds of one run, or its own directory"
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
    return replace(first, config=config, fold_models=tuple(run.model for run in runs))


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
    return model, build_objective(config.objective, model)
