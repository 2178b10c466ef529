"""YAML to nested mappings, without code, and what the command line changes in them."""

import re
import reprlib
from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path
from textwrap import shorten
from typing import Any

import yaml

from parttag.errors import InputError
from parttag.options import local_name
from parttag.system.files import read_small

# More than any configuration has, and little enough to be read in seconds.
_MOST_BYTES = 1 << 22
_MOST_NODES = 200_000
_MOST_DEEP = 100
_MOST_DIGITS = 100
_TEXT = "tag:yaml.org,2002:str"
_QUOTES = "'\""


def read_content(path: str | Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Return the nested mappings in a YAML file, after the overrides; nothing is checked yet.

    Raises
    ------
    InputError
        If the file is missing or no YAML, or an override has no ``=``.
    """
    try:
        text = read_small(Path(local_name(path)), _MOST_BYTES).decode()
        content = _load(text)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: the configuration cannot be read ({error})") from error
    except yaml.YAMLError as error:
        raise InputError(f"{path}: this is not YAML: {_one_line(error)}") from error
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise InputError(f"{path}: a configuration is a list of sections, such as data and model")
    apply_overrides(overrides, content)
    return content


def read_lines(path: str | Path) -> tuple[dict[str, Any], dict[tuple[str, ...], int]]:
    """Return the nested mappings of another program's YAML, and the line of each key.

    A key that is given twice has its last value, as PyYAML has it.

    Returns
    -------
    dict, dict
        The mappings; and lines, from 1 on, by all keys on the way and the places in lists.

    Raises
    ------
    InputError
        If the file is missing, no YAML, or holds no sections.
    """
    try:
        loader = _Lenient(read_small(Path(local_name(path)), _MOST_BYTES).decode())
        node = loader.get_single_node()
        content = None if node is None else loader.construct_document(node)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read ({error})") from error
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise InputError(f"{path}: this is not YAML: {_one_line(error)}") from error
    if node is None or not isinstance(content, dict):
        raise InputError(f"{path}: there are no sections in it")
    return content, dict(_lines(node, ()))


def _lines(node: yaml.Node, above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], int]]:
    if isinstance(node, yaml.MappingNode):
        parts = [(key, str(key.value), value) for key, value in node.value]
    elif isinstance(node, yaml.SequenceNode):
        parts = [(value, str(number), value) for number, value in enumerate(node.value)]
    else:
        return
    for key, name, value in parts:
        path = (*above, name)
        yield path, key.start_mark.line + 1
        yield from _lines(value, path)


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
        return _load(text)
    except yaml.YAMLError as error:
        shown = reprlib.repr(text)
        raise InputError(f"{key}: {shown} is not YAML: {_one_line(error)}") from error


def _load(text: str) -> Any:
    """Return what a text means, or raise ``YAMLError``."""
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError:
        raise
    except Exception as error:  # what constructs dates, numbers and so on takes any text for one
        raise yaml.YAMLError(f"a value is none ({error})") from error


class _Loader(yaml.SafeLoader):
    """YAML without code, in which no key can be given twice, and 1e-3 is a number.

    Aliases can stand for far more than the text has, or for what they are in: what they expand to
    is counted before anything is made of it.
    """

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Compose a node, not too deep."""
        self._depth += 1
        if self._depth > _MOST_DEEP:
            raise yaml.YAMLError(f"it is more than {_MOST_DEEP} levels deep")
        node: yaml.Node | None = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def get_single_node(self) -> yaml.Node | None:
        """Compose the document, and refuse one that says too much."""
        node: yaml.Node | None = super().get_single_node()
        if node is not None:
            _measure(node, {})
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        known = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise yaml.constructor.ConstructorError(
                    problem="a key is a list or a mapping", problem_mark=key_node.start_mark
                )
            if key in known:
                raise yaml.constructor.ConstructorError(
                    problem=f"the key {reprlib.repr(key).strip(_QUOTES)} is given twice",
                    problem_mark=key_node.start_mark,
                )
            known.add(key)
        return super().construct_mapping(node, deep)


class _Lenient(_Loader):
    """The same, but the last value of a key counts."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        return yaml.SafeLoader.construct_mapping(self, node, deep)


def _measure(node: yaml.Node, sizes: dict[yaml.Node, tuple[int, int] | None]) -> tuple[int, int]:
    """Return number and depth of the nodes that a node expands to, or raise ``YAMLError``."""
    if node in sizes:
        known = sizes[node]
        if known is None:
            raise yaml.YAMLError("an alias stands for what it is a part of")
        return known
    sizes[node] = None
    size, depth = 1, 1
    if isinstance(node, yaml.ScalarNode):
        _check_scalar(node)
    else:
        is_mapping = isinstance(node, yaml.MappingNode)
        for part in (n for pair in node.value for n in pair) if is_mapping else node.value:
            below = _measure(part, sizes)
            size, depth = size + below[0], max(depth, below[1] + 1)
    if size > _MOST_NODES or depth > _MOST_DEEP:
        raise yaml.YAMLError(
            f"it expands to more than {_MOST_NODES:,} values, or {_MOST_DEEP} levels"
        )
    sizes[node] = size, depth
    return size, depth


def _check_scalar(node: yaml.ScalarNode) -> None:
    if node.tag != _TEXT and len(node.value) > _MOST_DIGITS:
        raise yaml.YAMLError(f"a number or date has more than {_MOST_DIGITS} characters")
    try:
        node.value.encode()
    except UnicodeEncodeError as error:
        raise yaml.YAMLError("a text has characters that UTF-8 cannot hold") from error


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


def _one_line(error: Exception) -> str:
    return shorten(" ".join(str(error).split()), 500)


def _apply(override: str, content: dict[str, Any]) -> None:
    """Set the value of ``section.key=value`` in nested mappings."""
    path, equals, text = override.partition("=")
    if not equals or not path:
        raise InputError(f"{reprlib.repr(override)} is not of the form section.key=value")
    try:
        value = _load(text)
    except yaml.YAMLError:
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
            raise InputError(
                f"{path}={reprlib.repr(value)}: {section} is {reprlib.repr(below)}, which has no "
                "keys"
            )
        content = below
    content[key] = value


def nested(path: str, value: Any) -> dict[str, Any]:
    """Return nested mappings that hold a value at a key, ``section.key``."""
    for key in reversed(path.split(".")):
        value = {key: value}
    return dict(value)
