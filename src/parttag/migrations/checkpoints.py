"""The forms of a checkpoint; its configuration has a version of its own."""

from collections.abc import Mapping
from typing import Any

from parttag.migrations.configurations import CONFIGURATION, upgraded_configuration
from parttag.migrations.formats import VERSION_KEY, Content, Format
from parttag.migrations.parameter_names import renamed_parameter


def marked_checkpoint(content: Mapping[str, Any]) -> Content:
    """Return the content of a checkpoint with the versions of its form and its configuration."""
    config = {VERSION_KEY: CONFIGURATION.version, **content["config"]}
    return {VERSION_KEY: CHECKPOINT.version, **content, "config": config}


def upgraded_checkpoint(content: Mapping[str, Any], where: object) -> Content:
    """Return the content of a checkpoint in the present form, without versions.

    Parameters
    ----------
    content
        By name: ``weights`` and ``config`` are mappings.
    where
        The file, for messages.

    Raises
    ------
    NewerFormatError
        If a newer parttag has made it.
    InputError
        If a version is none.
    """
    upgraded = CHECKPOINT.upgraded(content, where)
    del upgraded[VERSION_KEY]
    return {**upgraded, "config": upgraded_configuration(upgraded["config"], where, of_run=True)}


def _to_1(content: Content) -> Content:
    """Parameters have the names of their layers. Their order, by which optimizers know, stays."""
    model = content["config"].get("model")
    weights = {renamed_parameter(name, model): w for name, w in content["weights"].items()}
    return {**content, "weights": weights}


CHECKPOINT = Format("checkpoint", steps=(_to_1,))
