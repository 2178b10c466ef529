"""YAML to nested mappings, without code, and what the command line changes in them."""

import re
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import yaml

from parttag.errors import InputError
from parttag.options import local_name


def read_content(path: str | Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Return the nested mappings in a YAML file, after the overrides; nothing is checked yet.

    Raises
    ------
    InputError
        If the file is missing or no YAML, or an override has no ``=``.
    """
    try:
        text = Path(local_name(path)).read_text(encoding="utf-8")
        content = yaml.load(text, _Loader)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: the configuration cannot be read ({error})") from error
    except (yaml.YAMLError, ValueError) as error:  # such as a date that is none
        raise InputError(f"{path}: this is not YAML: {_one_line(error)}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: a configuration is a list of sections, such as data and model")
    apply_overrides(overrides, content)
    return content


def apply_overrides(overrides: Sequence[str], content: dict[str, Any]) -> None:
    """Set values in nested mappings, ``section.key=value`` each.

    Raises
    ------
    InputError
        If one has no ``=``, or something on the way is no section.
    """
    for override in overrides:
        _apply(override, content)


def parse_text(key: str, text: str) -> Any:
    """Return what a YAML text means; ``key`` names it in the error.

    Raises
    ------
    InputError
        If it is no YAML.
    """
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError) as error:
        raise InputError(f"{key}: {text!r} is not YAML: {_one_line(error)}") from error


_LONGEST_NUMBER = 400


class _Loader(yaml.SafeLoader):
    """YAML without code, in which no key can be given twice, and 1e-3 is a number."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for number, key in enumerate(keys):
            if key in keys[:number]:
                mark = node.value[number][0].start_mark
                raise yaml.constructor.ConstructorError(
                    problem=f"the key {key} is given twice", problem_mark=mark
                )
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        # Longer ones mean nothing, and Python refuses to write them into a message.
        if len(node.value) > _LONGEST_NUMBER:
            problem = f"a number of {len(node.value)} letters"
            raise yaml.constructor.ConstructorError(problem=problem, problem_mark=node.start_mark)
        return int(super().construct_yaml_int(node))


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)

_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _apply(override: str, content: dict[str, Any]) -> None:
    """Set the value of ``section.key=value`` in nested mappings."""
    path, equals, text = override.partition("=")
    if not equals or not path:
        raise InputError(f"{override!r} is not of the form section.key=value")
    try:
        value = yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError):
        value = text  # such as a glob that begins with *
    set_value(path, value, content)


def set_value(path: str, value: Any, content: dict[str, Any]) -> None:
    """Set the value of a key, ``section.key``, in nested mappings.

    Raises
    ------
    InputError
        If something on the way is no section.
    """
    *sections, key = path.split(".")
    for name in sections:
        # A key that YAML takes for a number is that number.
        section = next((known for known in content if str(known) == name), name)
        below = content.setdefault(section, {})
        if not isinstance(below, dict):
            raise InputError(f"{path}={value}: {section} is {below!r}, which has no keys")
        content = below
    content[key] = value
