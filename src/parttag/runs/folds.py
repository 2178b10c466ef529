"""The directory of a run of ``data.folds``: its configuration, and a run in each ``fold_K``."""

from collections.abc import Iterator
from pathlib import Path

from parttag.runs.config import CONFIG, RunConfig, dump_config
from parttag.runs.directory import is_begun, refuse_other_run
from parttag.system.atomic_files import write_file
from parttag.system.files import refuse_unwritable


def has_folds(config: RunConfig) -> bool:
    """Return whether a configuration is of several trainings, one a fold."""
    return config.data.folds is not None and config.data.folds.held_out is None


def fold_directories(config: RunConfig, directory: Path) -> list[Path]:
    """Return where the run of each fold is."""
    assert config.data.folds is not None
    return [directory / f"fold_{number}" for number in range(config.data.folds.number)]


def fold_runs(config: RunConfig, directory: Path) -> Iterator[tuple[RunConfig, Path]]:
    """Yield configuration and directory of the run of each fold."""
    folds = config.data.folds
    assert folds is not None
    for number, place in enumerate(fold_directories(config, directory)):
        own = folds.model_copy(update={"held_out": number})
        data = config.data.model_copy(update={"folds": own})
        yield config.model_copy(update={"data": data}), place


def claim(config: RunConfig, directory: Path) -> None:
    """Write the configuration of all folds, unless the directory is of something else.

    Raises
    ------
    InputError
        If it is, or cannot be written.
    """
    begun = any(is_begun(place) for place in fold_directories(config, directory))
    refuse_other_run(directory, config, begun=begun)
    with refuse_unwritable(directory):
        directory.mkdir(parents=True, exist_ok=True)
    write_file(directory / CONFIG, dump_config(config).encode())
