"""Trained networks that come with parttag: found by name, and listed.

Each is a folder ``NAME`` below ``models/pretrained`` of the package, or below a folder that the
environment variable ``PARTTAG_PRETRAINED`` names: weights as safetensors, and a model card, once
for programs and once to read. Wherever a run is named, ``pretrained/NAME`` names it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from parttag.errors import InputError
from parttag.migrations.applications import MODEL_CARD
from parttag.migrations.formats import VERSION_KEY
from parttag.options import Name, Options, read_options
from parttag.system.files import read_small, refuse_damaged, sha256

PREFIX = "pretrained"
"""What the name of each begins with, before a slash."""
WEIGHTS, CARD, README = "weights.safetensors", "card.json", "README.md"
"""What the folder of each holds."""
VARIABLE = "PARTTAG_PRETRAINED"
"""The environment variable with folders of more of them, divided as those of ``PATH``."""
_LARGEST_CARD = 1_000_000


class ModelCard(Options):
    """What has to be known of a trained network before it is used."""

    summary: str
    """One sentence: which network, trained on what."""
    classes: tuple[Name, ...]
    """In the order of the logits."""
    features: tuple[str, ...]
    """What it reads of every particle."""
    num_parameters: int = Field(ge=0)
    data: str
    """The jets that it was trained on: how many, how made, by which command and seeds."""
    training: str
    """How it was trained: recipe, length, seed, hardware, time."""
    commit: str | None = None
    """Of parttag, when it was trained."""
    command: str
    """What makes it again."""
    numbers: dict[str, dict[str, float]] = Field(default_factory=dict)
    """What was measured, by what it was measured on: ``{"1,000,000 jets": {"accuracy": …}}``."""
    limits: tuple[str, ...] = ()
    """What it must not be taken for."""
    weights_sha256: str = Field(pattern="^[0-9a-f]{64}$")
    """Of the file of weights."""


@dataclass(frozen=True)
class Pretrained:
    """A trained network that is there under a name."""

    name: str
    """``pretrained/NAME``: what goes wherever a run does."""
    directory: Path
    card: ModelCard

    @property
    def weights(self) -> Path:
        """The file of weights.

        Raises
        ------
        InputError
            If it is missing, or is not what the card says.
        """
        path = self.directory / WEIGHTS
        if not path.is_file() or sha256(path) != self.card.weights_sha256:
            raise InputError(
                f"{path} is missing, or has other weights than {CARD} beside it says; install "
                "parttag again, or make them again"
            )
        return path


def list_pretrained() -> tuple[Pretrained, ...]:
    """Return the trained networks that are there, by name; of two of one name the shipped one.

    Raises
    ------
    InputError
        If a card is damaged, or a folder of ``PARTTAG_PRETRAINED`` is none.
    """
    found: dict[str, Pretrained] = {}
    for folder in _folders():
        for path in sorted(folder.glob(f"*/{CARD}")):
            name = f"{PREFIX}/{path.parent.name}"
            if name not in found:
                found[name] = Pretrained(name, path.parent, read_card(path))
    return tuple(found.values())


def find_pretrained(name: str | Path) -> Pretrained | None:
    """Return the trained network of a name; ``None`` if it means something else.

    A run or a file that is there under the same name wins.

    Raises
    ------
    InputError
        If it begins as the name of one and there is neither such a network nor such a path.
    """
    path = Path(name)
    if path.is_absolute() or len(path.parts) != 2 or path.parts[0] != PREFIX:
        return None
    if path.is_file() or (path / "config.yaml").is_file():
        return None
    there = {one.name: one for one in list_pretrained()}
    if path.as_posix() in there:
        return there[path.as_posix()]
    if path.exists():
        return None
    raise InputError(
        f"{name}: there is no such run, and no pretrained network of this name; there are "
        f"{', '.join(there) or 'none'} (parttag pretrained lists them)"
    )


def refuse_pretrained(name: str | Path, what: str) -> None:
    """Refuse to do with a network that comes with parttag what would change or copy it.

    Raises
    ------
    InputError
        If it is one.
    """
    if find_pretrained(name) is not None:
        raise InputError(
            f"{name} comes with parttag, and {what}; train a run that starts from it "
            "(init_from.path), and use that"
        )


def read_card(path: Path) -> ModelCard:
    """Return a model card.

    Raises
    ------
    InputError
        If it is damaged, or of a newer parttag.
    """
    with refuse_damaged(path):
        content = MODEL_CARD.upgraded(json.loads(read_small(path, _LARGEST_CARD)), path)
    del content[VERSION_KEY]
    try:
        return read_options(ModelCard, content)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def card_files(name: str, card: ModelCard) -> dict[str, str]:
    """Return the files that hold a model card, by their names: for programs, and to read."""
    content = {VERSION_KEY: MODEL_CARD.version, **card.model_dump(mode="json")}
    return {CARD: json.dumps(content, indent=2) + "\n", README: _to_read(name, card)}


def _to_read(name: str, card: ModelCard) -> str:
    parts = [f"# {PREFIX}/{name}", card.summary]
    parts.append(
        f"{card.num_parameters:,} parameters; classes {', '.join(card.classes)}; features "
        f"{', '.join(card.features)}."
    )
    parts += [f"**Jets.** {card.data}", f"**Training.** {card.training}"]
    made = f"**Made by** `{card.command}`" + (f" at commit {card.commit}" * bool(card.commit))
    parts.append(f"{made}. SHA-256 of {WEIGHTS}: {card.weights_sha256}.")
    if card.numbers:
        columns = list(dict.fromkeys(key for row in card.numbers.values() for key in row))
        rows = [f"| | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
        for on, row in card.numbers.items():
            values = (f"{row[key]:g}" if key in row else "" for key in columns)
            rows.append(f"| {on} | {' | '.join(values)} |")
        parts.append("\n".join(rows))
    if card.limits:
        parts.append("\n".join(["**Limits**", "", *(f"- {limit}" for limit in card.limits)]))
    return "\n\n".join(parts) + "\n"


def _folders() -> Iterator[Path]:
    yield Path(__file__).with_name(PREFIX)
    for name in filter(None, os.environ.get(VARIABLE, "").split(os.pathsep)):
        if not Path(name).is_dir():
            raise InputError(f"{VARIABLE}: {name} is no folder; name those that hold networks")
        yield Path(name)
