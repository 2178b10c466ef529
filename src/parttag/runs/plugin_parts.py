"""Parts of a run that came from plug-ins: recorded when it starts, named when one is missing."""

import json
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import Field, TypeAdapter, ValidationError

from parttag.data.readers.registry import READERS
from parttag.errors import InputError
from parttag.jets.features import FEATURE_SETS, FEATURES
from parttag.metrics.options import BUILT_IN
from parttag.metrics.registry import METRICS
from parttag.models import MODELS
from parttag.options import Options
from parttag.plugins import Registry
from parttag.runs.config import CONFIG, RunConfig, build_config, read_config_content
from parttag.training import checkpoint
from parttag.training.objectives import OBJECTIVES


class PluginPart(Options):
    """Something that a run uses, and the package that it came from, as its files have them.

    Names of packages and versions have no other characters, so that a file can put nothing else
    into a message.
    """

    kind: str
    """network, objective, …"""
    name: str
    """What the configuration calls it."""
    package: str = Field(pattern=r"^[\w.-]{1,100}$")
    version: str = Field(pattern=r"^[\w.+!-]{1,100}$")


_PARTS = TypeAdapter(list[PluginPart])


def plugin_parts(config: RunConfig) -> list[dict[str, str]]:
    """Return what in a configuration is of a plug-in, as provenance and checkpoints have it."""
    used = [*_named(config.model_dump()), *_readers(config)]
    return [
        {"kind": registry.kind, "name": name, "package": plugin.package, "version": plugin.version}
        for registry, name in used
        if (plugin := registry.plugin_of(name)) is not None
    ]


def _readers(config: RunConfig) -> Iterator[tuple[Registry[Any], str]]:
    """Yield the readers of the files, as far as their names tell."""
    files = [*config.data.train, *config.data.val, *config.data.test]
    for name, format_ in READERS.items():
        if any(file.lower().endswith(format_.suffixes) for file in files):
            yield READERS, name


def read_config(directory: Path) -> RunConfig:
    """Return the configuration of a run.

    Nothing is imported for it but the entry points of installed packages, whatever the run names.

    Raises
    ------
    InputError
        If it cannot be read, or a part of it is of a plug-in that is missing, which is named.
    """
    content = read_config_content(directory / CONFIG)
    for registry, name in _named(content):
        if name not in registry:
            raise InputError(f"{directory}: {_what_is_missing(registry.kind, name, directory)}")
    return build_config(content)


def _named(content: Mapping[str, Any]) -> Iterator[tuple[Registry[Any], str]]:
    """Yield what a configuration names that plug-ins can add; it need not be a valid one."""
    for registry, section in ((MODELS, "model"), (OBJECTIVES, "objective")):
        options = content.get(section)
        name = options.get("name") if isinstance(options, Mapping) else None
        if isinstance(name, str):
            yield registry, name
    evaluation = content.get("evaluation")
    metrics = evaluation.get("metrics") if isinstance(evaluation, Mapping) else None
    yield from ((FEATURES, name) for name in _listed(content.get("features"), FEATURE_SETS))
    yield from ((METRICS, name) for name in _listed(metrics, BUILT_IN))


def _listed(names: Any, of_parttag: Container[str]) -> list[str]:
    """Return the names of a text or list, but for those of parttag itself."""
    listed = (names,) if isinstance(names, str) else names
    if not isinstance(listed, list | tuple):
        return []
    return [name for name in listed if isinstance(name, str) and name not in of_parttag]


def _what_is_missing(kind: str, name: str, directory: Path) -> str:
    for part in _recorded(directory):
        if (part.kind, part.name) == (kind, name):
            return (
                f"the {kind} {name} is of the plug-in {part.package}, version {part.version}, "
                "which is not installed or cannot be imported; install it to use this run"
            )
    return (
        f"there is no {kind} {name}, and the run does not say which plug-in it is of; install "
        "that, or import the module that registers it"
    )


def _recorded(directory: Path) -> Iterator[PluginPart]:
    """Yield the parts that the last start of a run recorded, or else its checkpoints."""
    with suppress(OSError, ValueError, LookupError, TypeError):
        provenance = json.loads((directory / "provenance.json").read_text(encoding="utf-8"))
        yield from _read_parts(provenance["starts"][-1])
    for name in (checkpoint.BEST, checkpoint.LAST):
        try:
            yield from _read_parts(checkpoint.read_checkpoint(directory / "checkpoints" / name))
        except InputError:
            continue


def _read_parts(holder: Mapping[str, Any]) -> Iterable[PluginPart]:
    """Return the parts in a start or a checkpoint; none if there are none, or something else."""
    try:
        return _PARTS.validate_python(holder.get("plugins", []))
    except (ValidationError, AttributeError):
        return ()
