"""The scores that a trained network gives to jets, in the order of the jets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64

from parttag.data.jet_files import JetFiles
from parttag.data.readers import read_branches
from parttag.errors import InputError, option
from parttag.system.row_files import Columns, new_score_file

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, repr=False)
class Scores:
    """What is known of each jet after a network has seen it; bad jets are not ``valid``.

    ``labels`` is the class index, −1 where unknown. Logits and jet quantities of bad jets are NaN.
    """

    classes: tuple[str, ...]
    logits: Float32[np.ndarray, "jets classes"]
    labels: Int64[np.ndarray, " jets"]
    valid: Bool[np.ndarray, " jets"]
    jet_weights: Float32[np.ndarray, " jets"]
    jet_pt: Float32[np.ndarray, " jets"]
    jet_eta: Float32[np.ndarray, " jets"]
    jet_mass: Float32[np.ndarray, " jets"]
    num_particles: Int64[np.ndarray, " jets"]
    places: Columns = field(default_factory=dict)
    """Of files whose entries hold several jets: ``event``, the entry, and ``jet``, the number of
    the jet in it, both from 0 on."""
    predictions: Columns = field(default_factory=dict)
    """``pred_TARGET`` of each target, ``pred_origin`` and ``pred_vertex`` of the particles; in an
    evaluation also ``true_TARGET`` and the like, and what stands beside them."""
    passes: Columns = field(default_factory=dict)
    """``pass_NAME`` of each working point that was asked for: 1 for jets that pass."""
    kept: Columns = field(default_factory=dict)
    """Columns of the input that ride along, by name."""
    multi_label: bool = False
    """Whether the score of each class stands on its own, as a jet may be of several."""
    files: JetFiles | None = None
    """Where the jets were read from, if all of these files' are here."""

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        """Return how many jets there are, and the names of the columns."""
        bad = int((~self.valid).sum())
        known = int((self.labels >= 0).sum())
        return (
            f"Scores: {len(self):,} jets ({bad:,} bad, {known:,} of known class) | "
            f"{', '.join(self.columns())}"
        )

    def columns(self) -> dict[str, np.ndarray | ak.Array]:
        """Return the columns of a scores file, each contiguous in memory.

        Scores are in float64, which ties fewer of the best jets at 1; a cut near 1 belongs on the
        logits. Those that were kept come last, and take the place of jet quantities of their name.
        """
        named = self.classes if self.logits.shape[1] else ()
        scores = self._probabilities()
        return {
            **{f"score_{name}": scores[:, i].copy() for i, name in enumerate(named)},
            **{f"logit_{name}": self.logits[:, i].copy() for i, name in enumerate(named)},
            **self.predictions,
            "label": self.labels,
            "valid": self.valid.astype(np.uint8),
            "jet_weight": self.jet_weights,
            "jet_pt": self.jet_pt,
            "jet_eta": self.jet_eta,
            "jet_mass": self.jet_mass,
            "num_particles": self.num_particles,
            **self.places,
            **self.passes,
            **self.kept,
        }

    def _probabilities(self) -> Float64[np.ndarray, "jets classes"]:
        wide = self.logits.astype(np.float64)
        if self.multi_label:
            return 0.5 * (1 + np.tanh(0.5 * wide))
        exponentials = np.exp(wide - wide.max(axis=1, keepdims=True, initial=-np.inf))
        scores: np.ndarray = exponentials / exponentials.sum(axis=1, keepdims=True)
        return scores

    def take(self, rows: Int64[np.ndarray, " chosen"]) -> Scores:
        """Return the jets at these rows."""
        arrays = {name: getattr(self, name)[rows] for name in _PER_JET}
        columns: dict[str, Any] = {
            kind: {name: c[rows] for name, c in getattr(self, kind).items()} for kind in _COLUMNS
        }
        return replace(self, **arrays, **columns, files=None)

    def to_awkward(self) -> ak.Array:
        """Return one record a jet, with the columns as its fields."""
        return ak.zip(self.columns(), depth_limit=1)

    def to_pandas(self) -> pd.DataFrame:
        """Return one row a jet; kept columns with several values a jet are columns of lists.

        Raises
        ------
        InputError
            If pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise InputError(
                "pandas is not installed: pip install 'parttag[analysis]', or use to_awkward()"
            ) from error
        return pd.DataFrame({name: _flat(column) for name, column in self.columns().items()})

    def keeping(self, names: Sequence[str]) -> Scores:
        """Return the scores with branches of the files that the jets were read from.

        Raises
        ------
        InputError
            If they are not of files, or a file lacks a branch.
        """
        missing = [name for name in names if name not in self.kept]
        if not missing:
            return self
        refuse_hidden_columns(missing, self.classes, self.predictions)
        if self.files is None:
            raise InputError(
                f"{option('keep', ','.join(missing))} names branches of files, but these jets were "
                "not read from any; leave it out"
            )
        layout = self.files.layout
        parts = [read_branches(path, missing, layout) for path in self.files.paths]
        more = {name: ak.concatenate([part[name] for part in parts]) for name in missing}
        return replace(self, kept={**self.kept, **more})

    def write(
        self, path: str | Path, *, keep: str | Sequence[str] = (), overwrite: bool = False
    ) -> None:
        """Write the columns to a file, whose name gives the format: .root, .h5 or .parquet.

        Parameters
        ----------
        keep
            Branches of the files that the jets were read from, to write beside them.

        Raises
        ------
        InputError
            If the format is unknown, a column does not fit it, or the file exists or cannot be
            written; nothing is left then.
        """
        written = self.keeping([keep] if isinstance(keep, str) else keep)
        with new_score_file(Path(path), overwrite=overwrite) as append:
            append(written.columns())


_COLUMNS = ("places", "predictions", "passes", "kept")
_NOT_PER_JET = ("classes", "multi_label", *_COLUMNS, "files")
_PER_JET = tuple(f.name for f in fields(Scores) if f.name not in _NOT_PER_JET)


def _flat(column: np.ndarray | ak.Array) -> np.ndarray | list[object]:
    """Return a column as a data frame takes it."""
    if isinstance(column, np.ndarray):
        return column
    is_flat = column.ndim == 1 and isinstance(column.type.content, ak.types.NumpyType)
    values: np.ndarray | list[object] = column.to_numpy() if is_flat else column.to_list()
    return values


def join(parts: Sequence[Scores]) -> Scores:
    """Return the jets of all parts, of the same classes and columns, one after the other."""
    arrays: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts]) for name in _PER_JET
    }
    columns: dict[str, Any] = {
        kind: {name: _joined([getattr(p, kind)[name] for p in parts]) for name in named}
        for kind, named in ((kind, getattr(parts[0], kind)) for kind in _COLUMNS)
    }
    first = parts[0]
    return Scores(classes=first.classes, multi_label=first.multi_label, **arrays, **columns)


def _joined(parts: Sequence[np.ndarray | ak.Array]) -> np.ndarray | ak.Array:
    """Return parts of a column, one after the other."""
    if all(isinstance(part, np.ndarray) for part in parts):
        return np.concatenate(parts)
    return ak.concatenate(parts)


def refuse_hidden_columns(
    keep: Sequence[str], classes: Sequence[str], predictions: Iterable[str] = ()
) -> None:
    """Refuse columns to keep that would take the place of scores, or of predictions.

    Raises
    ------
    InputError
        If there is one.
    """
    own = {"label", "valid"} | {f"{kind}_{name}" for kind in ("score", "logit") for name in classes}
    taken = (own | set(predictions)) & set(keep)
    if taken:
        raise InputError(
            f"{option('keep', min(taken))}: the scores have a column of this name; leave it out"
        )
