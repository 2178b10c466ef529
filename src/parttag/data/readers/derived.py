"""``columns.derived``: columns that are computed from branches by formulas."""

from collections.abc import Collection, Iterable, Mapping
from functools import cached_property
from pathlib import Path

import awkward as ak
import numpy as np
from jaxtyping import Int64, Shaped

from parttag.data.readers.expressions import Expression, Value
from parttag.data.readers.slices import find, leaves, nearest_branch
from parttag.errors import InputError


class DerivedColumns:
    """Formulas by the names of what they give; one may use others.

    Parameters
    ----------
    formulas
        For example ``{"log_pt": "log(pt)"}``.

    Raises
    ------
    InputError
        If one is no formula, or they need each other in a circle.
    """

    def __init__(self, formulas: Mapping[str, str]) -> None:
        self._formulas: dict[str, Expression] = {}
        for name, text in formulas.items():
            try:
                self._formulas[name] = Expression(text)
            except InputError as error:
                raise InputError(f"data.columns.derived.{name}: {error}") from None
        self._order: list[str] = []
        for name in self._formulas:
            self._visit(name, ())

    def _visit(self, name: str, above: tuple[str, ...]) -> None:
        if name in above:
            circle = " → ".join((*above[above.index(name) :], name))
            raise InputError(f"data.columns.derived: {circle} need each other in a circle")
        if name in self._order:
            return
        for other in self._formulas[name].names:
            # A formula may have the name of a branch that it reads: log_pt: "log(log_pt)".
            if other in self._formulas and other != name:
                self._visit(other, (*above, name))
        self._order.append(name)

    @cached_property
    def names(self) -> frozenset[str]:
        """What is derived."""
        return frozenset(self._formulas)

    def sources(self, wanted: Iterable[str]) -> dict[str, str]:
        """Return the branches that some names need, each with the first name that needs it.

        A name that is not derived is a branch itself.
        """
        needed: dict[str, str] = {}
        pending = [(name, name) for name in wanted]
        seen: set[str] = set()
        while pending:
            name, of = pending.pop(0)
            if name not in self._formulas:
                needed.setdefault(name, of)
            elif name not in seen:
                seen.add(name)
                own = self._formulas[name].names
                needed.update({n: name for n in own if n == name and n not in needed})
                pending += [(other, name) for other in own if other != name]
        return needed

    def require(self, needed: Mapping[str, str], there: Collection[str], path: Path) -> None:
        """Refuse a file that lacks a branch of a formula.

        Raises
        ------
        InputError
            If it does; the message names the nearest that there is.
        """
        for branch, of in needed.items():
            if of in self._formulas and find(branch, there) is None:
                raise InputError(
                    f"{path} has no branch {branch}; the nearest is "
                    f"{nearest_branch(branch, leaves(there))}: correct data.columns.derived.{of}"
                )

    def added(self, branches: Mapping[str, ak.Array], path: Path) -> dict[str, ak.Array]:
        """Return the branches, and what can be derived of them.

        Raises
        ------
        InputError
            If a formula does not fit its branches.
        """
        found: dict[str, Value] = dict(branches)
        for name in self._order:
            formula = self._formulas[name]
            if not all(other in found for other in formula.names):
                continue  # of what is not wanted
            try:
                arrays = {other: _as_lists(found[other]) for other in formula.names}
                flat = _flattened(arrays) if formula.is_elementwise else None
                value = formula(arrays) if flat is None else _in_lists(formula(flat[0]), flat[1])
            except InputError as error:
                raise InputError(f"{path}: data.columns.derived.{name}: {error}") from None
            if not isinstance(value, ak.Array) or len(value) != len(next(iter(branches.values()))):
                raise InputError(
                    f"{path}: data.columns.derived.{name} has not one entry for each of the file's"
                )
            found[name] = value
        return found


def _flattened(
    arrays: Mapping[str, ak.Array],
) -> tuple[dict[str, Shaped[np.ndarray, " _numbers"]], Int64[np.ndarray, " _bounds"]] | None:
    """Return lists of equal lengths as the numbers in them, and where each begins.

    A number an entry is repeated for all of its list. None, if the arrays are anything else.
    """
    contents, flat = {}, {}
    offsets: Int64[np.ndarray, " _bounds"] | None = None
    for name, array in arrays.items():
        layout = array.layout
        if isinstance(layout, ak.contents.NumpyArray) and layout.purelist_depth == 1:
            flat[name] = np.asarray(layout.data)
            continue
        if not isinstance(layout, ak.contents.ListOffsetArray):
            return None
        content, own = layout.content, np.asarray(layout.offsets.data).astype(np.int64, copy=False)
        if not isinstance(content, ak.contents.NumpyArray) or content.purelist_depth != 1:
            return None
        contents[name] = np.asarray(content.data)[own[0] : own[-1]]
        own = own - own[0]
        if offsets is not None and not np.array_equal(offsets, own):
            return None
        offsets = own
    if offsets is None:
        return None
    lengths = np.diff(offsets)
    if any(len(values) != len(lengths) for values in flat.values()):
        return None
    return {**contents, **{n: np.repeat(v, lengths) for n, v in flat.items()}}, offsets


def _in_lists(value: Value, offsets: Int64[np.ndarray, " _bounds"]) -> Value:
    if not isinstance(value, np.ndarray) or value.shape != (int(offsets[-1]),):
        return value
    content = ak.contents.NumpyArray(value)
    return ak.Array(ak.contents.ListOffsetArray(ak.index.Index64(offsets), content))


def _as_lists(array: ak.Array) -> ak.Array:
    """Return rows of slots as lists: they are broadcast as those are, whatever their lengths."""
    for axis in range(1, array.ndim):
        array = ak.from_regular(array, axis=axis)
    return array
