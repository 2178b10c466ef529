"""The scores that a trained network gives to jets, in the order of the jets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import awkward as ak
import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, Int64
from torch import Tensor

from parttag.data.jet_files import JetFiles
from parttag.data.readers import read_branches
from parttag.data.selection.classes import assign_classes, carried_classes
from parttag.data.selection.folds import FoldOptions
from parttag.errors import InputError, option
from parttag.evaluation.batches import CPU_BATCH, Precision, Rows, computing_in, for_a_gpu
from parttag.evaluation.late_reads import Sent, one_behind, prepared_ahead
from parttag.evaluation.task_outputs import TaskOutputs
from parttag.jets.arrays import JetArrays, split_index, split_rows
from parttag.jets.batch import JetBatch, make_batch
from parttag.jets.validity import FAULTS, jet_faults, jet_name
from parttag.models import Tagger
from parttag.runs.run import Run
from parttag.system.row_files import Columns, new_score_file
from parttag.training.distributed import DeviceName, Ranks, move_to

if TYPE_CHECKING:
    import pandas as pd

Classes = Mapping[str, Sequence[str]]
"""The label branches of each class, in the order of the class indices."""


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


def _only_class(jets: JetArrays, classes: Classes) -> Int64[np.ndarray, " jets"]:
    """Return the class of each jet that is of one, −1 of others."""
    carried = carried_classes(jets, classes)
    return np.where(carried.sum(axis=1) == 1, carried.argmax(axis=1), -1).astype(np.int64)


def _places_of(jets: JetArrays) -> dict[str, Int64[np.ndarray, " jets"]]:
    """Return ``event`` and ``jet`` of jets whose entries hold several; else nothing."""
    _, rows = split_index(jets.index)
    event, number = split_rows(rows)
    return {"event": event, "jet": number} if (number >= 0).any() else {}


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


@dataclass(frozen=True)
class Scorer:
    """A trained network with all that its scores depend on.

    Parameters
    ----------
    model
        The network, in evaluation mode, on the device where it is to run.
    classes
        Its classes and their label branches.
    labels_required
        Whether jets without the label branches are refused; else their label is −1.
    strict
        Whether a bad jet is refused; else its scores are NaN.
    precision
        Of the network's arithmetic.
    batch_size
        Jets that are computed at a time; it changes scores by rounding only. ``None`` for 512 on a
        CPU, and on a GPU for as many as keep it busy.
    folds, fold_models
        Of ``data.folds``: what says the fold of a jet, and the network that scores those of each.
    ranks
        Of several, each computes its share of the batches, and leaves the logits of others NaN.
    tasks
        What the network says besides the classes.
    multi_label
        Whether a jet may be of several classes, or of none.
    """

    model: Tagger
    classes: Classes
    labels_required: bool
    strict: bool = False
    precision: Precision = "fp32"
    batch_size: int | None = None
    folds: FoldOptions | None = None
    fold_models: tuple[Tagger, ...] = ()
    ranks: Ranks = field(default_factory=Ranks)
    tasks: TaskOutputs | None = None
    multi_label: bool = False

    @classmethod
    def of_run(
        cls,
        run: Run,
        *,
        labels_required: bool,
        strict: bool = False,
        precision: Precision = "fp32",
        device: DeviceName = "auto",
        ranks: Ranks | None = None,
    ) -> Scorer:
        """Return the scorer of a run, whose network, or one a fold, is moved to the device.

        Raises
        ------
        InputError
            If the run is of an objective without classes, or there is no such device.
        """
        if not run.config.gives_predictions:
            raise InputError(
                f"{run.directory}: this run was trained on the objective "
                f"{run.config.objective.name}, which gives jets no scores; fine-tune it with "
                f"init_from.path={run.directory}, or see what it has learned with a "
                f"linear probe: {option('probe', 'linear')} of an evaluation"
            )
        if precision not in get_args(Precision):
            raise InputError(f"precision is {precision!r}, but must be fp32 or bf16")
        for model in (run.model, *run.fold_models):
            move_to(model, device)
        return cls(
            run.model,
            run.config.data.classes,
            labels_required,
            strict,
            precision,
            folds=run.config.data.folds if run.fold_models else None,
            fold_models=run.fold_models,
            ranks=ranks or Ranks(),
            multi_label=run.config.is_multi_label,
            tasks=TaskOutputs.of_run(run.config, run.model, with_truth=labels_required),
        )

    def score(self, jets: JetArrays) -> Scores:
        """Return the scores of all jets, in their order.

        Raises
        ------
        InputError
            If the network gives a valid jet a logit that is not finite, the labels do not fit the
            classes, or a bad jet is met and refused.
        """
        return self._read(jets, *self._ask(jets))

    def score_all(self, parts: Iterable[JetArrays]) -> Iterator[tuple[JetArrays, Scores]]:
        """Yield each part with its scores, as of ``score``.

        A GPU computes the scores of the next part meanwhile.

        Raises
        ------
        InputError
            As ``score``, of the part before perhaps.
        """
        asked = ((jets, *self._ask(jets)) for jets in parts)
        for jets, valid, rows, sent in one_behind(asked) if self._device.type == "cuda" else asked:
            yield jets, self._read(jets, valid, rows, sent)

    @property
    def prediction_names(self) -> tuple[str, ...]:
        """The columns of what the network says besides the classes."""
        return () if self.tasks is None else self.tasks.names

    @property
    def _device(self) -> torch.device:
        return next(self.model.parameters()).device

    def _ask(self, jets: JetArrays) -> tuple[Bool[np.ndarray, " jets"], Rows, list[Sent]]:
        """Let the device compute: return which jets are valid, and the rows of what is sent.

        That is the logits, or all outputs of several tasks, and then those of the particles.
        """
        faults = jet_faults(jets)
        valid = faults < 0
        if self.strict and not valid.all():
            first = int(np.flatnonzero(~valid)[0])
            raise InputError(
                f"{jet_name(jets, first)}: bad jet ({FAULTS[faults[first]]}), the first of "
                f"{(~valid).sum()}; leave out {option('strict')} to keep bad jets without "
                "scores"
            )
        batches = list(self._batches(jets, valid))[self.ranks.rank :: self.ranks.size]
        if not batches:
            return valid, np.zeros(0, dtype=np.int64), []

        def prepare(own: tuple[Tagger, Rows]) -> tuple[Tagger, JetBatch]:
            return own[0], self._batch(own[0], jets.take(own[1]))

        prepared = prepared_ahead(prepare, batches, self._device)
        # Read once, when all have been asked for: a GPU then has its next batch in time.
        computed = zip(*(self._outputs(model, batch) for model, batch in prepared), strict=True)
        sent = [Sent(torch.cat(parts)) for parts in computed]
        return valid, np.concatenate([rows for _, rows in batches]), sent

    def _read(
        self, jets: JetArrays, valid: Bool[np.ndarray, " jets"], rows: Rows, sent: list[Sent]
    ) -> Scores:
        width = len(self.classes) if self.tasks is None else self.tasks.width
        outputs = np.full((len(jets), width), np.nan, dtype=np.float32)
        particles = np.zeros((0, 0), dtype=np.int64)
        if sent:
            outputs[rows] = sent[0].read().numpy()
            judged = outputs if self.tasks is None else outputs[:, -1:]
            self._refuse_nonfinite(jets, judged, rows)
        if self.tasks is not None:
            seen = sent[1].read().numpy() if sent else particles
            particles = self.tasks.of_all_particles(jets, seen, rows, self.model.max_particles)
        pt, eta, mass = (
            np.where(valid, values, np.nan).astype(np.float32)
            for values in (jets.pt, jets.eta, jets.mass)
        )
        return Scores(
            classes=tuple(self.classes),
            logits=outputs if self.tasks is None else outputs[:, : self.tasks.num_classes],
            predictions=self._predictions(jets, outputs, particles),
            labels=self._labels(jets),
            valid=valid,
            jet_weights=np.asarray(jets.jet_weights),
            jet_pt=pt,
            jet_eta=eta,
            jet_mass=mass,
            num_particles=jets.lengths,
            places=_places_of(jets),
            multi_label=self.multi_label,
        )

    def _predictions(
        self,
        jets: JetArrays,
        outputs: Float32[np.ndarray, "jets width"],
        particles: Int64[np.ndarray, "particles tasks"],
    ) -> Columns:
        found = {} if self.tasks is None else self.tasks.columns(jets, outputs, particles)
        if self.multi_label and self.labels_required:
            carried = carried_classes(jets, self.classes).astype(np.uint8)
            found |= {f"is_{name}": carried[:, n] for n, name in enumerate(self.classes)}
        return found

    def _batches(
        self, jets: JetArrays, valid: Bool[np.ndarray, " jets"]
    ) -> Iterator[tuple[Tagger, Rows]]:
        """Yield rows of valid jets of like length, and before them the network of their fold."""
        folds = None if self.folds is None else self.folds.of_jets(jets)
        for number, model in enumerate(self.fold_models or (self.model,)):
            rows = np.flatnonzero(valid if folds is None else valid & (folds == number))
            rows = rows[np.argsort(jets.lengths[rows], kind="stable")]
            yield from ((model, part) for part in self._parts(model, rows, jets.lengths))

    def _parts(
        self, model: Tagger, rows: Rows, lengths: Int64[np.ndarray, " jets"]
    ) -> Iterator[Rows]:
        if self.batch_size is None and self._device.type == "cuda":
            most = model.max_particles
            longest = most if isinstance(most, int) else lengths.max(initial=0)
            yield from for_a_gpu(rows, np.minimum(lengths[rows], longest))
            return
        size = self.batch_size or CPU_BATCH
        for start in range(0, len(rows), size):
            yield rows[start : start + size]

    def _batch(self, model: Tagger, jets: JetArrays) -> JetBatch:
        batch = make_batch(jets, max_particles=model.max_particles)
        return batch.pin_memory() if self._device.type == "cuda" else batch

    def _outputs(self, model: Tagger, batch: JetBatch) -> tuple[Tensor, ...]:
        device = self._device
        with torch.inference_mode(), computing_in(self.precision, device):
            if self.tasks is not None:
                return self.tasks.compute(model, batch.to(device))
            logits: Tensor = model(batch.to(device)).float()
        return (logits,)

    def _labels(self, jets: JetArrays) -> Int64[np.ndarray, " jets"]:
        assign = _only_class if self.multi_label else assign_classes
        if self.labels_required:
            return assign(jets, self.classes)
        known = {
            name: labels
            for name, labels in self.classes.items()
            if set(labels) & set(jets.label_names)
        }
        if not known:
            return np.full(len(jets), -1, dtype=np.int64)
        position = np.array([list(self.classes).index(name) for name in known] + [-1])
        found: Int64[np.ndarray, " jets"] = position[assign(jets, known)]
        return found

    def _refuse_nonfinite(
        self,
        jets: JetArrays,
        outputs: Float32[np.ndarray, "jets width"],
        computed: Int64[np.ndarray, " computed"],
    ) -> None:
        lost = np.sort(computed[~np.isfinite(outputs[computed]).all(axis=1)])
        if len(lost):
            raise InputError(
                f"{jet_name(jets, int(lost[0]))}: the network gives no finite "
                f"score to this jet and {len(lost) - 1} others; its weights are spoiled, or the "
                "jets are unlike any it was trained on"
            )
