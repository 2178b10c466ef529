"""The directory of a run: whose it is, what is written before training, and its log."""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Any

from parttag.data.jet_files import JetFiles
from parttag.data.loading.dataset import JetDataset
from parttag.errors import InputError, option
from parttag.printable import PrintableFormatter
from parttag.runs.config import HOW_FAST, RunConfig, dump_config, first_difference
from parttag.runs.ensemble import is_ensemble
from parttag.runs.lock import LOCK
from parttag.runs.overlap import refuse_shared_files
from parttag.runs.plugin_parts import read_config
from parttag.runs.provenance import describe_start
from parttag.system.atomic_files import remove_partial_files, write_file
from parttag.system.files import refuse_damaged, refuse_unwritable
from parttag.training.distributed import Ranks


def refuse_other_run(directory: Path, config: RunConfig, *, begun: bool | None = None) -> None:
    """Refuse a directory that holds something else than this run.

    Its jets may have other names: ``create`` compares what is in the files. Those of ``data.test``,
    of which a run keeps no sums, may lie in another folder, under the same names.

    A run without a checkpoint, such as one whose first weights could not be used, is nothing yet.

    Parameters
    ----------
    begun
        Whether a training in it has begun, if its checkpoints are elsewhere.
    """
    if not directory.exists():
        return
    if is_ensemble(directory):
        raise InputError(
            f"{directory} holds an ensemble, which is not trained; give another {option('out', '')}"
        )
    path = directory / "config.yaml"
    if path.is_file() and not (is_begun(directory) if begun is None else begun):
        return
    if path.is_file():
        key = _difference(read_config(directory), config)
        if key is not None:
            raise InputError(
                f"{directory} holds another run, whose {key} is different; give another "
                f"{option('out', '')}, or "
                "the configuration of that run to continue it"
            )
    elif not directory.is_dir() or any(p.name != LOCK for p in directory.iterdir()):
        raise InputError(f"{directory} exists and is not a run; give another {option('out', '')}")


def _difference(earlier: RunConfig, config: RunConfig) -> str | None:
    moved = ["data.train", "data.val", *HOW_FAST]
    if _file_names(earlier.data.test) == _file_names(config.data.test):
        moved.append("data.test")
    return first_difference(earlier, config, except_for=moved)


def _file_names(patterns: Sequence[str]) -> list[str]:
    return [PurePath(pattern).name for pattern in patterns]


def is_begun(directory: Path) -> bool:
    """Return whether a training in this directory has written a checkpoint."""
    return any((directory / "checkpoints").glob("*.pt"))


def create(
    directory: Path, config: RunConfig, data: dict[str, JetDataset], ranks: Ranks
) -> list[str]:
    """Write what is known before training, or add this start to what an earlier one wrote.

    Returns
    -------
    list of str
        The parts of the data, such as ``train``, whose files have other names than at the earlier
        start, and are the same by their sums.

    Raises
    ------
    InputError
        If a run that has begun had other jets.
    """
    path = directory / "provenance.json"
    hashes = {name: part.provenance() for name, part in data.items()}
    starts: list[dict[str, Any]] = []
    moved: list[str] = []
    if path.is_file():
        with refuse_damaged(path):
            earlier = json.loads(path.read_text(encoding="utf-8"))
            starts, earlier_sums = earlier["starts"], _sums(earlier["data"])
            moved = [name for name, now in hashes.items() if now != earlier["data"].get(name)]
        if is_begun(directory) and earlier_sums != _sums(hashes):
            raise InputError(
                f"{directory}: the jets that this run began with have changed since, by the sums "
                f"in {path.name}; give another {option('out', '')} to train on the new ones"
            )
        moved = moved if is_begun(directory) else []
    # With folds, jets of the training are measured by the network that has not seen them.
    test = () if config.data.folds is not None else config.data.test
    refuse_shared_files(hashes, JetFiles(test, config.data.columns).paths)
    starts.append(describe_start(ranks, config))
    with refuse_unwritable(directory):
        (directory / "checkpoints").mkdir(parents=True, exist_ok=True)
    provenance = {"data": hashes, "starts": starts}
    for place in (directory, directory / "checkpoints"):
        remove_partial_files(place)
    write_file(path, json.dumps(provenance, indent=2).encode())
    write_file(directory / "config.yaml", dump_config(config).encode())
    return moved


def _sums(data: Mapping[str, list[dict[str, str | int]]]) -> dict[str, list[tuple[str | int, ...]]]:
    return {
        name: [(file["bytes"], file["sha256"]) for file in files] for name, files in data.items()
    }


@contextmanager
def log_to(path: Path, ranks: Ranks) -> Iterator[None]:
    """Write what parttag logs to a file as well; ranks other than the first only warn."""
    package = logging.getLogger("parttag")
    level = package.level
    if not ranks.is_first:
        package.setLevel(logging.WARNING)
        try:
            yield
        finally:
            package.setLevel(level)
        return
    with refuse_unwritable(path):
        handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(PrintableFormatter("%(asctime)s %(levelname)s %(message)s"))
    package.addHandler(handler)
    package.setLevel(logging.INFO)
    try:
        yield
    except Exception as error:
        handler.emit(package.makeRecord(package.name, logging.ERROR, "", 0, str(error), (), None))
        raise
    finally:
        package.removeHandler(handler)
        package.setLevel(level)
        handler.close()


def distinct_names(directories: Sequence[Path]) -> list[str]:
    """Return the last part of each path, or as many as tell them apart."""
    parts = [directory.resolve().parts for directory in directories]
    for number in range(1, max(map(len, parts)) + 1):
        names = ["/".join(own[-number:]) for own in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{own[-1]} ({number})" for number, own in enumerate(parts, start=1)]
