"""The configurations that parttag ships: found by name, and listed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import parttag
from parttag.errors import InputError
from parttag.runs.config import load_config

_TABLES = "benchmarks/"
_NUM_NEAREST = 3


@dataclass(frozen=True)
class Recipe:
    """A shipped configuration of a training."""

    name: str
    """What ``find_recipe`` takes: folder and file, without the suffix."""
    description: str
    network: str
    objective: str
    path: Path


def recipes_directory() -> Path:
    """Return the folder of the shipped configurations.

    It is inside of the package or, where that is a checkout, ``configs`` beside ``src``.

    Raises
    ------
    InputError
        If there is none, because the package was installed without it.
    """
    package = Path(parttag.__file__).parent
    for folder in (package / "recipes", package.parents[1] / "configs"):
        if (folder / "toptagging").is_dir():
            return folder
    raise InputError(f"{package}: the recipes are missing; install parttag again")


def find_recipe(name: str | Path, directory: Path | None = None) -> Path:
    """Return the file of a configuration: one's own, or a shipped one by its name.

    Parameters
    ----------
    name
        A path, or the name of a shipped recipe or table such as ``toptagging/pfn`` or
        ``benchmarks/smoke.yaml``. A file that is there wins.
    directory
        What a relative path is relative to, by default where the command is run.

    Raises
    ------
    InputError
        If there is neither such a file nor such a recipe; the nearest names are said.
    """
    path = (directory or Path()) / name
    if path.is_file():
        return path
    shipped = _shipped()
    wanted = Path(name).as_posix().removesuffix(".yaml")
    if wanted in shipped:
        return shipped[wanted]
    raise InputError(
        f"{path}: there is no such file, and no shipped recipe of this name; the nearest are "
        f"{', '.join(_nearest(wanted, shipped))}"
    )


def list_recipes() -> tuple[Recipe, ...]:
    """Return the shipped configurations of trainings, by name; tables are not among them."""
    found = []
    for name, path in _shipped().items():
        if not name.startswith(_TABLES):
            config = load_config(path)
            found.append(Recipe(name, _title(path), config.model.name, config.objective.name, path))
    return tuple(found)


def _shipped() -> dict[str, Path]:
    folder = recipes_directory()
    paths = sorted(folder.rglob("*.yaml"))
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in paths}


def _nearest(wanted: str, shipped: dict[str, Path]) -> list[str]:
    """Return the shipped names like this one, whether or not it has a folder."""
    wanted = wanted.removeprefix("configs/")
    by_file = {name.split("/")[-1]: name for name in shipped}
    candidates = shipped if "/" in wanted else by_file
    nearest = get_close_matches(wanted, candidates, n=_NUM_NEAREST, cutoff=0)
    return [by_file.get(name, name) for name in nearest]


def _title(path: Path) -> str:
    """Return the comment above a configuration up to its first colon, semicolon or full stop."""
    lines = path.read_text(encoding="utf-8").splitlines()
    comment = []
    for line in lines:
        if not line.startswith("#"):
            break
        comment.append(line.removeprefix("#").strip())
    return re.split(r"[:;.](?:\s|$)", " ".join(comment), maxsplit=1)[0]
