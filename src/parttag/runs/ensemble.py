"""Runs as one: the members' files in a directory of its own, which is a run."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from parttag.errors import InputError, option
from parttag.jets.feature_lists import required_extras
from parttag.jets.kinds import names_by_kind
from parttag.migrations.applications import ENSEMBLE
from parttag.migrations.formats import VERSION_KEY
from parttag.models.shipped import refuse_pretrained
from parttag.options import local_name
from parttag.runs import calibration
from parttag.runs.config import CONFIG, PROVENANCE, RunConfig, dump_config, first_difference
from parttag.runs.plugin_parts import read_config
from parttag.runs.provenance import describe_start
from parttag.system.atomic_files import whole_directory
from parttag.system.files import read_small, refuse_damaged, sha256
from parttag.training import checkpoint
from parttag.training.distributed import Ranks

FILE = "ensemble.json"
"""What makes the directory of a run an ensemble."""
_LARGEST = 10_000_000
_BEST = Path("checkpoints") / checkpoint.BEST
_FILES = (Path(CONFIG), Path(PROVENANCE), _BEST, Path(calibration.FILE))


def is_ensemble(directory: Path) -> bool:
    """Return whether the run in a directory is an ensemble."""
    return (directory / FILE).is_file()


def make_ensemble(runs: Sequence[str | Path], out: str | Path) -> Path:
    """Make a run of several, with copies of what they need to give scores.

    Parameters
    ----------
    runs
        Directories of finished runs that tell the same classes apart and read the same columns,
        such as trainings with other seeds or folds. Their calibrations go with them.
    out
        The directory to make; it appears complete or not at all.

    Raises
    ------
    InputError
        If there are less than two, one is given twice, is no classifier or an ensemble itself, they
        do not fit together, or ``out`` exists.
    """
    directories = [Path(local_name(run)) for run in runs]
    out = Path(local_name(out))
    if len(directories) < 2:
        raise InputError("an ensemble has two runs or more; name their directories")
    if len({directory.resolve() for directory in directories}) < len(directories):
        raise InputError("a run is named twice; name each member of an ensemble once")
    if out.exists():
        raise InputError(f"{out} exists already; give another {option('out', '')}")
    configs = [_member_config(directory) for directory in directories]
    for directory, config in zip(directories[1:], configs[1:], strict=True):
        _refuse_other(directories[0], configs[0], directory, config)
    members = [
        {"run": str(directory), "weights_sha256": sha256(directory / _BEST)}
        for directory in directories
    ]
    config = _common(configs)
    provenance = {"ensemble": members, "data": {}, "starts": [describe_start(Ranks(), config)]}
    content = {VERSION_KEY: ENSEMBLE.version, "members": members}
    with whole_directory(out) as made:
        for directory, target in zip(directories, _places(made, len(members)), strict=True):
            (target / "checkpoints").mkdir(parents=True)
            for name in _FILES:
                if (directory / name).exists() or name == _BEST:
                    shutil.copyfile(directory / name, target / name)
        (made / CONFIG).write_text(dump_config(config), encoding="utf-8")
        (made / PROVENANCE).write_text(json.dumps(provenance, indent=2), encoding="utf-8")
        (made / FILE).write_text(json.dumps(content, indent=2), encoding="utf-8")
    return out


def member_directories(directory: Path) -> list[Path]:
    """Return where the members of an ensemble are, in their order.

    Raises
    ------
    InputError
        If its file is damaged, or a member is missing or has other weights than it says.
    """
    path = directory / FILE
    with refuse_damaged(path):
        content = ENSEMBLE.upgraded(json.loads(read_small(path, _LARGEST)), path)
        sums = [str(member["weights_sha256"]) for member in content["members"]]
    found = _places(directory, len(sums))
    for place, expected in zip(found, sums, strict=True):
        if sha256(place / _BEST) != expected:
            raise InputError(
                f"{place / _BEST} has other weights than {path} says; make the ensemble again"
            )
    return found


def weights_sum(directory: Path) -> str:
    """Return the SHA-256 of the members' weights and calibrations together."""
    total = hashlib.sha256()
    for place in member_directories(directory):
        for name in (_BEST, Path(calibration.FILE)):
            total.update(sha256(place / name).encode() if (place / name).exists() else b"none")
    return total.hexdigest()


def _places(directory: Path, number: int) -> list[Path]:
    return [directory / "members" / str(count) for count in range(number)]


def _member_config(directory: Path) -> RunConfig:
    refuse_pretrained(directory, "an ensemble has copies of its members")
    if not (directory / CONFIG).is_file():
        raise InputError(f"{directory} is not a run: it has no {CONFIG}")
    if is_ensemble(directory):
        raise InputError(f"{directory} is an ensemble itself; name its members")
    config = read_config(directory)
    if config.data.folds is not None and config.data.folds.held_out is None:
        raise InputError(f"{directory} holds a network a fold; an ensemble is of one network each")
    if not config.is_classifier:
        raise InputError(
            f"{directory} was trained on the objective {config.objective.name}, which gives jets "
            "no scores; leave it out"
        )
    if config.is_multi_label:
        raise InputError(
            f"{directory} was trained with multi_label, whose scores an ensemble cannot average; "
            "leave it out"
        )
    if not (directory / _BEST).is_file():
        raise InputError(f"{directory} has no {_BEST}; train it to its end, or leave it out")
    return config


def _refuse_other(first: Path, ours: RunConfig, directory: Path, theirs: RunConfig) -> None:
    """Refuse a member that tells other classes apart, or reads other columns, than the first."""
    if list(ours.data.classes.items()) != list(theirs.data.classes.items()):
        pairs = zip_longest(ours.data.classes.items(), theirs.data.classes.items())
        mine, other = next((a, b) for a, b in pairs if a != b)
        raise InputError(
            f"{directory} has {_class_text(other)} where {first} has {_class_text(mine)}; members "
            "of an ensemble have the same classes, of the same labels, in the same order"
        )
    for what, mine, other in (
        ("data.columns", ours.data.columns, theirs.data.columns),
        ("data.cuts", ours.data.cuts, theirs.data.cuts),
        ("data.test_cuts", ours.data.cuts_of_test, theirs.data.cuts_of_test),
        ("kinds of particles", _kinds(ours), _kinds(theirs)),
        ("features, of other columns of the files,", _columns(ours), _columns(theirs)),
    ):
        if mine != other:
            raise InputError(
                f"{directory} has other {what} than {first}; members of an ensemble read the same "
                "jets in the same way"
            )


def _class_text(one: tuple[str, tuple[str, ...]] | None) -> str:
    return "no class" if one is None else f"the class {one[0]} ({', '.join(one[1])})"


def _columns(config: RunConfig) -> tuple[frozenset[str], Any]:
    wanted = config.wanted_columns
    of_particles = {*required_extras(config.network_features), *wanted.particles}
    return frozenset(of_particles), (frozenset(wanted.jets), frozenset(wanted.either))


def _kinds(config: RunConfig) -> tuple[list[str], Any]:
    """Return the kinds of particles that are told apart, and how many of them are read."""
    kinds = list(names_by_kind(config.network_features))
    return kinds, getattr(config.model, "max_particles", None) if kinds else None


def _common(configs: Sequence[RunConfig]) -> RunConfig:
    """Return the first member's configuration without the files that are not those of all.

    What one fold is validated with, another is trained on.
    """
    first = configs[0]
    parts = ("train", "val", "test")
    differ = {
        part
        for part in parts
        if any(getattr(c.data, part) != getattr(first.data, part) for c in configs)
    }
    files = [f"data.{part}" for part in parts]
    apart = (first_difference(first, other, except_for=files) or "" for other in configs)
    if differ & {"train", "val"} or any(key.startswith("data.fold") for key in apart):
        differ |= {"train", "val"}
    data = first.data.model_copy(update=dict.fromkeys(differ, ()))
    return first.model_copy(update={"data": data})
