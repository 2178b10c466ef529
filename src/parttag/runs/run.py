"""A finished run: a trained network, its configuration and where they came from."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from parttag.data.readers.columns import ColumnsOptions
from parttag.errors import InputError
from parttag.models import Tagger, build_model
from parttag.options import local_name
from parttag.runs.config import RunConfig
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

    def with_columns(self, columns: ColumnsOptions | None) -> "Run":
        """Return the run with another ``data.columns``, for files of other branches."""
        data = self.config.data.model_copy(update={"columns": columns})
        return replace(self, config=self.config.model_copy(update={"data": data}))


def load_run(directory: str | Path, checkpoint_name: Literal["best", "last"] = "best") -> Run:
    """Return the run in a directory, with the weights of its best epoch or its last.

    Raises
    ------
    InputError
        If the directory is no run, a plug-in that its network came from is missing, or the
        checkpoint is missing, damaged or of another network.
    """
    directory = Path(local_name(directory))
    if not (directory / "config.yaml").is_file():
        raise InputError(f"{directory} is not a run: it has no config.yaml")
    config = read_config(directory)
    classes = tuple(config.data.classes)
    model, _ = build_network(config)
    path = directory / "checkpoints" / f"{checkpoint_name}.pt"
    checkpoint.load_weights(model, checkpoint.read_checkpoint(path), classes, path)
    return Run(directory, config, model.eval(), classes, checkpoint_name)


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
