"""``data.folds``: trainings that leave out a part of the jets each, so that none scores its own.

The part is a number of the event modulo the number of parts, which everyone can repeat.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from jaxtyping import Bool, Int64
from pydantic import Field, model_validator

from parttag.data.selection.good_jets import JetCounts
from parttag.errors import InputError
from parttag.jets.arrays import JetArrays
from parttag.jets.validity import jet_name, source_name
from parttag.options import Name, Options


class FoldOptions(Options):
    """As many trainings as folds: each leaves out the jets of its fold, and scores only them."""

    number: Annotated[int, Field(ge=2, le=100)]
    """Of the folds."""
    by: Name
    """The column that decides, of whole numbers, such as the event number: a jet is of the fold
    ``by`` modulo ``number``. A name of ``data.columns.jet_extra``, or a branch of the files."""
    held_out: Annotated[int, Field(ge=0)] | None = None
    """The fold that a run leaves out, which parttag writes; null for all of them in turn."""

    @model_validator(mode="after")
    def _is_a_fold(self) -> FoldOptions:
        if self.held_out is not None and self.held_out >= self.number:
            raise ValueError(f"held_out must be below number, {self.number}")
        return self

    def of_jets(self, jets: JetArrays) -> Int64[np.ndarray, " jets"]:
        """Return the fold of each jet.

        Raises
        ------
        InputError
            If they lack the column, or it does not hold whole numbers.
        """
        if self.by not in jets.jet_column_names:
            raise InputError(
                f"data.folds.by: {source_name(jets)} has no column {self.by!r} of its jets; name a "
                "branch with one number a jet, or prepare the jets with that column"
            )
        values = np.asarray(jets[self.by])
        if values.dtype.kind not in "iu":
            wrong = np.flatnonzero(~(np.isfinite(values) & (values == np.floor(values))))
            if values.dtype.kind != "f" or len(wrong):
                first = int(wrong[0]) if len(wrong) else 0
                raise InputError(
                    f"data.folds.by: {self.by} is {values[first]} for {jet_name(jets, first)}, no "
                    "whole number; name a column of whole numbers, such as that of the event"
                )
        folds: Int64[np.ndarray, " jets"]
        folds = np.mod(values, values.dtype.type(self.number)).astype(np.int64)
        return folds

    def not_held_out(
        self, jets: JetArrays, passed: Bool[np.ndarray, " jets"], counts: JetCounts
    ) -> Bool[np.ndarray, " jets"]:
        """Return which of the jets that have passed are of another fold than that left out.

        Parameters
        ----------
        counts
            Where those of the fold are counted.
        """
        if self.held_out is None:
            return passed
        held_out = self.of_jets(jets) == self.held_out
        counts.drop(f"of fold {self.held_out}", int((passed & held_out).sum()))
        kept: Bool[np.ndarray, " jets"] = passed & ~held_out
        return kept
