"""The forms of a run's configuration.

A file that parttag wrote before configurations had a ``schema_version`` is of version 0. What
people write by hand seldom says a version, and is read as the present one; keys that have another
name by now are still understood there, and a line in the log says the new one.
"""

import logging
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

from parttag.errors import InputError
from parttag.migrations.formats import VERSION_KEY, Content, Format, shown
from parttag.migrations.parameter_names import renamed_parameter

logger = logging.getLogger(__name__)

Say = Callable[[str], None]
"""Takes the sentence about an old key."""


def upgraded_configuration(
    content: Mapping[str, Any], where: object, *, of_run: bool = False
) -> Content:
    """Return a configuration in the present form, without its ``schema_version``.

    Parameters
    ----------
    content
        Nested mappings of any form; what is wrong in them for other reasons stays wrong.
    where
        Where it is from, for messages.
    of_run
        Whether parttag wrote it, so that without a version it is of version 0.

    Raises
    ------
    NewerFormatError
        If a newer parttag has made it.
    InputError
        If its version is none, or an old key and the one in place of it are given both.
    """
    if VERSION_KEY in content or of_run:
        upgraded = CONFIGURATION.upgraded(content, where, unmarked=0)
        del upgraded[VERSION_KEY]
        return upgraded
    upgraded = dict(content)
    for version, changes in _KEYS.items():
        say = partial(_log, where, version)
        for change in changes:
            upgraded = change(upgraded, say)
    return upgraded


@cache
def _log(where: object, version: int, text: str) -> None:
    """Log what became of an old key, once: a benchmark reads a recipe for every seed."""
    logger.warning("%s: %s since %s %d", where, text, VERSION_KEY, version)


# --------------------------------------------------------------------------------------- 0 to 1


def head_multiplier(content: Content, say: Say) -> Content:
    """Return ``init_from.lr_multipliers`` in place of ``head_lr_multiplier``."""
    init = content.get("init_from")
    if not isinstance(init, Mapping) or "head_lr_multiplier" not in init:
        return content
    if init.get("lr_multipliers"):
        raise InputError(
            "init_from.head_lr_multiplier is the old name of init_from.lr_multipliers, which is "
            "given too; give the new one alone, with the head as {head.*: …}"
        )
    rest = {key: value for key, value in init.items() if key != "head_lr_multiplier"}
    value = init["head_lr_multiplier"]
    if value != 1:
        rest["lr_multipliers"] = {"head.*": value}
    say(f"init_from.head_lr_multiplier is init_from.lr_multipliers={{head.*: {shown(value)}}}")
    return {**content, "init_from": rest}


def pair_mass(content: Content, say: Say) -> Content:
    """Return the configuration without ``model.pair_mass``: masses are as published."""
    model = content.get("model")
    if not isinstance(model, Mapping) or "pair_mass" not in model:
        return content
    say("model.pair_mass is left out, and the masses of pairs are as published,")
    return {**content, "model": {k: v for k, v in model.items() if k != "pair_mass"}}


def parameter_patterns(content: Content, say: Say) -> Content:
    """Return ``freeze`` and ``lr_multipliers`` with the present names of parameters."""
    init, model = content.get("init_from"), content.get("model")
    if not isinstance(init, Mapping):
        return content

    def renamed(pattern: Any) -> Any:
        new = renamed_parameter(pattern, model) if isinstance(pattern, str) else pattern
        if new != pattern:
            say(f"init_from: the pattern {pattern} is {new}")
        return new

    changed = dict(init)
    freeze, multipliers = init.get("freeze"), init.get("lr_multipliers")
    if isinstance(freeze, list | tuple):
        changed["freeze"] = [renamed(pattern) for pattern in freeze]
    elif isinstance(freeze, str):
        changed["freeze"] = renamed(freeze)
    if isinstance(multipliers, Mapping):
        changed["lr_multipliers"] = {renamed(p): value for p, value in multipliers.items()}
    return {**content, "init_from": changed}


# Keys and names that one can still find in what people wrote, by the version that changed them.
_KEYS: dict[int, tuple[Callable[[Content, Say], Content], ...]] = {
    1: (head_multiplier, pair_mass, parameter_patterns),
}


def _to_1(content: Content) -> Content:
    for change in _KEYS[1]:
        content = change(content, logger.debug)
    return content


CONFIGURATION = Format("configuration", steps=(_to_1,))
