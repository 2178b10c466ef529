"""``columns.derived``: columns that are computed from branches by formulas."""

from collections.abc import Collection, Iterable, Mapping
from functools import cached_property
from pathlib import Path

import awkward as ak

from parttag.data.readers.expressions import Expression
from parttag.data.readers.flat_chunk import Chunk
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
        chunk = Chunk(branches)
        for name in self._order:
            formula = self._formulas[name]
            if not all(other in chunk for other in formula.names):
                continue  # of what is not wanted
            try:
                flat = chunk.flattened(formula.names) if formula.is_elementwise else None
                if flat is None:
                    fits = chunk.add(name, formula(chunk.lists(formula.names)))
                else:
                    fits = chunk.add_flat(name, formula(flat.values), flat.offsets)
            except InputError as error:
                raise InputError(f"{path}: data.columns.derived.{name}: {error}") from None
            if not fits:
                raise InputError(
                    f"{path}: data.columns.derived.{name} has not one entry for each of the file's"
                )
        return chunk.arrays()
