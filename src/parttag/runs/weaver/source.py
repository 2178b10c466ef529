"""A data configuration of weaver-core: read, checked and typed, with the line of each key.

Keys and defaults are those of weaver-core 0.5.3 (``weaver/utils/data/config.py``); ``hybrid``
labels are those of weaver-core-dev.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from itertools import pairwise
from pathlib import Path

from parttag.errors import InputError
from parttag.runs.yaml_files import read_lines

_KEYS = (
    *("treename", "branch_magic", "file_magic", "selection", "test_time_selection", "preprocess"),
    *("new_variables", "inputs", "labels", "observers", "monitor_variables", "weights"),
    "bucketing",
)
AUTO = "auto"


@dataclass(frozen=True)
class Standard:
    """What is done to the numbers of an input: (x − centre)·scale, clipped; else nothing.

    Parameters
    ----------
    centre
        None: neither standardized nor clipped. ``"auto"``: measured, and the scale too.
    """

    centre: float | str | None
    scale: float
    clip: tuple[float, float]
    pad: float


@dataclass(frozen=True)
class Input:
    """One variable of a group of inputs."""

    name: str
    standard: Standard
    line: int | None


@dataclass(frozen=True)
class Group:
    """One entry of ``inputs``: variables that become one tensor."""

    name: str
    length: int | None
    pad_mode: str
    inputs: tuple[Input, ...]
    line: int | None


@dataclass(frozen=True)
class Weights:
    """The section ``weights``, which says how often jets are drawn."""

    branches: tuple[str, ...]
    method: str
    variables: Mapping[str, tuple[float, ...]]
    classes: tuple[str, ...]
    class_weights: tuple[float, ...]
    threshold: float
    discards_outside: bool
    base: str | None
    histograms: Mapping[str, Sequence[Sequence[float]]] | None
    line: int | None


@dataclass(frozen=True)
class WeaverFile:
    """A data configuration of weaver-core.

    Parameters
    ----------
    path
        Where it was read.
    content
        Its sections.
    lines
        Of its keys, see ``read_lines``.
    """

    path: Path
    content: Mapping[str, object]
    lines: Mapping[tuple[str, ...], int]

    def line(self, *keys: str) -> int | None:
        """Return the line of a key, by all keys on the way."""
        return self.lines.get(keys)

    def wrong(self, sentence: str, *keys: str) -> InputError:
        """Return the refusal of what a key has."""
        line = self.line(*keys)
        where = f"{self.path}, line {line}" if line is not None else str(self.path)
        return InputError(f"{where}: {' '.join(sentence.split())}")

    @cached_property
    def inputs(self) -> tuple[Group, ...]:
        """The groups of inputs."""
        groups = self.section("inputs")
        if not groups:
            raise self.wrong("inputs has no group, so that a network would read nothing", "inputs")
        return tuple(self._group(str(name), group) for name, group in groups.items())

    def _group(self, name: str, group: object) -> Group:
        keys = ("inputs", name)
        if not isinstance(group, Mapping) or not isinstance(group.get("vars"), list):
            raise self.wrong(f"the group {name} needs a list vars", *keys)
        if not group["vars"]:
            raise self.wrong(f"the group {name} has no variable", *keys)
        length = group.get("length")
        if length is not None and (not isinstance(length, int) or length < 1):
            raise self.wrong(f"length of {name} must be a whole number or null", *keys)
        inputs = tuple(
            self._input(variable, (*keys, "vars", str(number)))
            for number, variable in enumerate(group["vars"])
        )
        pad_mode = str(group.get("pad_mode", "constant")).lower()
        return Group(name, length, pad_mode, inputs, self.line(*keys))

    def _input(self, variable: object, keys: tuple[str, ...]) -> Input:
        parts = variable if isinstance(variable, list) else [variable]
        if not parts or not isinstance(parts[0], str) or len(parts) > 6:
            raise self.wrong(
                "a variable is a name, or a list of the name and up to five numbers", *keys
            )
        name, line = parts[0], self.line(*keys)
        saved = self._saved.get(name)
        if saved is not None:
            parts = [name, *(saved.get(k) for k in ("center", "scale", "min", "max", "pad_value"))]
        is_auto = saved is None and self.method.startswith(AUTO)
        defaults = (AUTO if is_auto else None, 1, -5, 5, 0)
        given = (*parts[1:], *defaults[len(parts) - 1 :])
        if given[0] is None:  # then nothing is done to the numbers
            given = (None, *defaults[1:-1], given[-1] or 0)
        centre = given[0] if given[0] in (None, AUTO) else self._number(given[0], name, keys)
        scale, low, high, pad = (self._number(n, name, keys) for n in given[1:])
        if not low < high:
            raise self.wrong(f"{name} is clipped to [{low:g}, {high:g}], which is no range", *keys)
        return Input(name, Standard(centre, scale, (low, high), pad), line)

    def _number(self, value: object, name: str, keys: tuple[str, ...]) -> float:
        try:
            return float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            raise self.wrong(f"{value!r} is no number to standardize {name} by", *keys) from None

    @cached_property
    def _saved(self) -> Mapping[str, Mapping[str, object]]:
        """What an automatic standardization has saved, by variable."""
        params = self.section("preprocess").get("params") or {}
        if not isinstance(params, Mapping):
            raise self.wrong("params is no mapping", "preprocess", "params")
        return {str(k): v for k, v in params.items() if isinstance(v, Mapping)}

    @property
    def method(self) -> str:
        """``manual`` or ``auto``."""
        return str(self.section("preprocess").get("method", "manual")).lower()

    @cached_property
    def new_variables(self) -> Mapping[str, str]:
        """The formulas, by the names of what they give."""
        return {
            str(name): str(formula)
            for name, formula in self.section("new_variables").items()
            if str(name) != str(formula)
        }

    def formula(self, key: str) -> str | None:
        """Return a selection, if there is one."""
        value = self.content.get(key)
        return None if value is None or not str(value).strip() else str(value).strip()

    def section(self, key: str) -> Mapping[str, object]:
        """Return a section; an empty one if there is none.

        Raises
        ------
        InputError
            If it is a list or a text.
        """
        value = self.content.get(key) or {}
        if not isinstance(value, Mapping):
            raise self.wrong(f"{key} must be a mapping", key)
        return {str(name): below for name, below in value.items()}

    def names(self, key: str) -> tuple[str, ...]:
        """Return a list of names, such as ``observers``."""
        value = self.content.get(key) or ()
        if isinstance(value, str):
            return tuple(value.split())
        if not isinstance(value, Sequence | Mapping):
            raise self.wrong(f"{key} must be a list of names", key)
        return tuple(str(name) for name in value)

    @cached_property
    def weights(self) -> Weights | None:
        """How often jets are drawn; none if it is not said."""
        section = self.section("weights")
        if not section:
            return None
        if section.get("use_precomputed_weights"):
            branches = tuple(map(str, self._list(section, "weight_branches")))
            return Weights(branches, "", {}, (), (), 0.0, True, None, None, self.line("weights"))
        variables = section.get("reweight_vars")
        if not isinstance(variables, Mapping) or len(variables) != 2:
            raise self.wrong(
                "reweight_vars must name two variables with the edges of their bins",
                *("weights", "reweight_vars"),
            )
        classes = tuple(map(str, self._list(section, "reweight_classes")))
        given = section.get("class_weights")
        weights = [1.0] * len(classes) if given is None else self._list(section, "class_weights")
        histograms = section.get("reweight_hists")
        return Weights(
            branches=(),
            method=str(section.get("reweight_method")),
            variables={str(k): self._edges(str(k), v) for k, v in variables.items()},
            classes=classes,
            # Of fewer numbers than classes, weaver uses the classes that have one.
            class_weights=tuple(self._number(w, "classes", ("weights",)) for w in weights),
            threshold=self._number(section.get("reweight_threshold", 10), "bins", ("weights",)),
            discards_outside=bool(section.get("reweight_discard_under_overflow", True)),
            base=None if not section.get("reweight_basewgt") else str(section["reweight_basewgt"]),
            histograms=histograms if isinstance(histograms, Mapping) else None,
            line=self.line("weights"),
        )

    def _edges(self, name: str, edges: object) -> tuple[float, ...]:
        keys = ("weights", "reweight_vars", name)
        if not isinstance(edges, list) or len(edges) < 2:
            raise self.wrong(f"{name} needs a list of two or more edges", *keys)
        found = tuple(self._number(edge, name, keys) for edge in edges)
        if any(not low < high for low, high in pairwise(found)):
            raise self.wrong(f"the edges of {name} do not rise", *keys)
        return found

    def _list(self, section: Mapping[str, object], key: str) -> list[object]:
        value = section.get(key)
        if not isinstance(value, list) or not value:
            raise self.wrong(f"{key} must be a list", "weights", key)
        return value


def read_weaver_file(path: Path) -> WeaverFile:
    """Return a data configuration of weaver-core.

    Raises
    ------
    InputError
        If it cannot be read, is none, or has a key that weaver-core does not know.
    """
    content, lines = read_lines(path)
    file = WeaverFile(path, content, lines)
    if not {"inputs", "labels"} <= set(content):
        raise InputError(
            f"{path} is no data configuration of weaver-core: it has no section "
            f"{'inputs' if 'inputs' not in content else 'labels'}"
        )
    for key in content:
        if key not in _KEYS:
            near = get_close_matches(str(key), _KEYS, 1, 0)[0]
            raise file.wrong(
                f"weaver-core knows no key {key}; the nearest is {near}: correct it or take it out",
                *(str(key),),
            )
    return file
