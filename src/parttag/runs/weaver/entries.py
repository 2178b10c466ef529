"""Variables of a group to entries of ``features``, and the columns that they are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from parttag.jets.arrays import EXTRA_NAMES
from parttag.jets.features import FEATURES
from parttag.jets.jet_features import JET_QUANTITIES
from parttag.runs.weaver.formulas import Formulas
from parttag.runs.weaver.source import AUTO, Input, Standard

Entry = str | dict[str, object]


@dataclass
class Columns:
    """The columns that features are made of, as they come up.

    Parameters
    ----------
    extra
        Branches by the names of the columns.
    used
        Names of variables in use, whose formulas are needed.
    """

    extra: dict[str, str] = field(default_factory=dict)
    used: dict[str, None] = field(default_factory=dict)

    def add(self, one: Input, formulas: Formulas, *, of_jet: bool) -> str:
        """Return the name of the column of a variable."""
        self.used[one.name] = None
        taken = (*JET_QUANTITIES,) if of_jet else (*FEATURES, *EXTRA_NAMES)
        name = f"{one.name}_as_it_is" if one.name in taken else one.name
        self.extra[name] = formulas.branch(one.name)
        return name


def feature_entry(
    one: Input, forms: Mapping[str, str], formulas: Formulas, columns: Columns
) -> Entry:
    """Return the entry of a variable: one of parttag's by its formula, or a column.

    Parameters
    ----------
    forms
        The quantities of parttag's by canonical form.
    columns
        Gets the column, if it is one.
    """
    quantity = forms.get(formulas.canonical(one.name))
    if quantity is None:
        return {"column": columns.add(one, formulas, of_jet=False), **standardization(one.standard)}
    known = FEATURES[quantity]
    standard = one.standard
    clip = None if standard.centre is None else standard.clip
    centre = 0.0 if standard.centre is None else standard.centre
    scale = 1.0 if standard.centre is None else standard.scale
    # A clip at the default is no other than none for what is 0 or 1, or a tanh.
    is_same_clip = clip == known.clip
    if (centre, scale) == (known.centre, known.scale) and is_same_clip:
        return quantity
    return {"column": quantity, **standardization(standard)}


def jet_entry(one: Input, formulas: Formulas, columns: Columns) -> Entry:
    """Return the entry of ``jet_features`` of a variable of the jet."""
    return {"column": columns.add(one, formulas, of_jet=True), **standardization(one.standard)}


def standardization(standard: Standard) -> dict[str, object]:
    """Return what an entry of ``features`` says of the numbers.

    weaver makes NaN 0 after the standardization, and clips what is infinite.
    """
    if standard.centre is None:
        return {"centre": 0.0, "scale": 1.0, "clip": None}
    clipped: dict[str, object] = {"clip": list(standard.clip), "missing": None, "infinite": "clip"}
    if standard.centre == AUTO:
        return {"width": "wider_side", **clipped}
    return {"centre": standard.centre, "scale": standard.scale, **clipped}
