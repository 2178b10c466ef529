"""Jets read both ways: by parttag with a conversion, and by weaver-core with its own file."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from jaxtyping import Float, Int64, Shaped
from torch import Tensor

from parttag.data.jet_files import JetFiles
from parttag.data.loading.dataset import JetDataset, open_dataset
from parttag.data.selection.classes import assign_classes
from parttag.errors import InputError, option
from parttag.jets.arrays import JetArrays, split_index
from parttag.jets.batch import make_batch
from parttag.jets.column_features import ColumnFeature, ColumnName
from parttag.jets.columns import numpy_column
from parttag.jets.features import FEATURES
from parttag.jets.jet_features import jet_features
from parttag.jets.kind_features import KindTables, particle_inputs
from parttag.jets.kinds import KIND_COLUMN, names_by_kind
from parttag.runs.weaver import peer
from parttag.runs.weaver.convert import Conversion, convert

MOST_JETS = 500
_LABEL, _INPUT = "label:", "input:"
_FEATURES, _WEIGHTS = 1e-6, 1e-5


@dataclass(frozen=True)
class Comparison:
    """How far one thing of all jets is from weaver-core's.

    Parameters
    ----------
    what
        A feature, ``mask``, ``labels`` or ``weights``.
    difference
        The largest: of features in units of the number, or of what it was multiplied by, where one
        is above 1; of weights in those of the largest weight; of masks and labels, the number of
        jets that differ.
    where
        The name of a jet with it.
    """

    what: str
    difference: float
    where: str

    @property
    def agrees(self) -> bool:
        """Whether it is rounding: 1e-6 of single precision, 1e-5 of weights."""
        return self.difference <= (_WEIGHTS if self.what == "weights" else _FEATURES)


def read_peer(
    python: str | Path, data: Path, files: Sequence[Path], most: int = MOST_JETS
) -> tuple[dict[str, Shaped[np.ndarray, "jets ..."]], bytes | None]:
    """Return weaver-core's tensors of the first jets, and what it has measured in YAML.

    Raises
    ------
    InputError
        If the interpreter has no weaver-core, or weaver-core cannot read the files.
    """
    with TemporaryDirectory() as folder:
        out, auto = Path(folder) / "tensors.npz", Path(folder) / "data.auto.yaml"
        command = [python, "-W", "ignore", peer.__file__, data, out, auto, most, *files]
        try:
            done = subprocess.run(
                list(map(str, command)), capture_output=True, text=True, check=False
            )
        except OSError as error:
            raise InputError(
                f"{option('peer_python', str(python))} cannot be run: {error}"
            ) from error
        if done.returncode:
            lines = done.stderr.strip().splitlines() or ["it says nothing"]
            raise InputError(f"weaver-core cannot read {data} and these files: {lines[-1][:300]}")
        with np.load(out) as archive:
            tensors = dict(archive)
        return tensors, auto.read_bytes() if auto.exists() else None


def check(
    conversion: Conversion, data: Path, files: Sequence[str | Path], python: str | Path
) -> list[Comparison]:
    """Read the first jets of files both ways, and compare.

    Parameters
    ----------
    conversion
        Of ``data``.
    python
        An interpreter that has weaver-core, which runs the formulas as code.

    Raises
    ------
    InputError
        As ``read_peer`` and ``compare``.
    """
    own = conversion.config.data
    jet_files = JetFiles(
        tuple(files), own.columns, own.cuts, wanted=conversion.config.training_columns
    )
    tensors, measured = read_peer(python, data, jet_files.paths)
    if measured is not None and not all(f.is_measured for f in _columns(conversion)):
        conversion = _with_measured(conversion, measured)
    return compare(conversion, tensors, jet_files)


def _columns(conversion: Conversion) -> list[ColumnFeature]:
    return [one.feature for one in conversion.config.column_features]


def _with_measured(conversion: Conversion, measured: bytes) -> Conversion:
    """Return the conversion with the centres and scales that weaver-core has measured."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "data.auto.yaml"
        path.write_bytes(measured)
        other = convert(path).config
    features = {"features": other.features, "jet_features": other.jet_features}
    return replace(conversion, config=conversion.config.model_copy(update=features))


def compare(
    conversion: Conversion, tensors: Mapping[str, Shaped[np.ndarray, "jets ..."]], files: JetFiles
) -> list[Comparison]:
    """Return the largest differences of features, masks, labels and weights.

    Parameters
    ----------
    conversion
        Of the data configuration that weaver-core has used.
    tensors
        What ``read_peer`` returned.
    files
        The same files.

    Raises
    ------
    InputError
        If they cannot be read as the conversion says, or hold other jets than weaver-core found.
    """
    jets, rows = _ours(conversion, files)
    theirs = tensors["row"]
    found = np.searchsorted(rows, theirs)
    if len(rows) == 0 or (rows[np.minimum(found, len(rows) - 1)] != theirs).any():
        raise InputError(
            f"weaver-core selects jets of {files.paths[0]} that parttag leaves out: see "
            "data.cuts and data.classes"
        )
    jets = jets.take(found)
    return [
        *_compare_particles(conversion, tensors, jets),
        *_compare_jets(conversion, tensors, jets),
        *_compare_truth(conversion, tensors, jets),
    ]


def _ours(conversion: Conversion, files: JetFiles) -> tuple[JetArrays, Int64[np.ndarray, " jets"]]:
    """Return all jets with the weights of a training, and their rows counted through all files."""
    data = conversion.config.data
    dataset: JetDataset = open_dataset(files, data.classes)
    if data.reweight is not None:
        dataset = dataset.reweighted(data.reweight, tuple(data.classes))
    jets = dataset.read([(0, len(dataset))])
    file_numbers, entries = split_index(jets.index)
    lengths = [JetFiles(path, files.columns).count() for path in files.paths]
    starts = np.concatenate([[0], np.cumsum(lengths)])
    return jets, starts[file_numbers] + entries


def _compare_particles(
    conversion: Conversion,
    tensors: Mapping[str, Shaped[np.ndarray, "jets ..."]],
    jets: JetArrays,
) -> list[Comparison]:
    names = conversion.config.network_features
    by_kind = names_by_kind(names)
    inputs = particle_inputs(make_batch(jets), names)
    comparisons = []
    for number, (kind, groups) in enumerate(conversion.kinds.items()):
        if "features" not in groups:
            continue
        table, own, lengths = inputs, names, jets.lengths
        if isinstance(inputs, KindTables):
            table, own = inputs.tables[list(by_kind).index(kind)], by_kind[kind]
            column = numpy_column(jets.columns, jets.column_types, KIND_COLUMN)
            jet_of = np.repeat(np.arange(len(jets)), jets.lengths)
            lengths = np.bincount(jet_of[column == number], minlength=len(jets))
        assert isinstance(table, Tensor)
        theirs = tensors[_INPUT + groups["features"]]
        mask = tensors[_INPUT + groups["mask"]][:, 0] != 0 if "mask" in groups else None
        prefix = f"{kind}." if by_kind else ""
        comparisons += _compare_table(own, prefix, table.numpy(), lengths, theirs, mask, jets)
    return comparisons


def _compare_table(
    names: Sequence[str],
    prefix: str,
    ours: Float[np.ndarray, "particles features"],
    lengths: Int64[np.ndarray, " jets"],
    theirs: Float[np.ndarray, "jets features length"],
    mask: Shaped[np.ndarray, "jets length"] | None,
    jets: JetArrays,
) -> list[Comparison]:
    """Compare the particles that weaver-core sees, the first of a file, with the same of ours.

    Ours are in the order of pT, whatever that of the file: each is compared with the nearest.
    """
    length = theirs.shape[2]
    slots = np.arange(length) < np.minimum(lengths, length)[:, None]
    comparisons = []
    if mask is not None:
        wrong = mask.sum(axis=1) != slots.sum(axis=1)
        comparisons.append(Comparison(f"{prefix}mask", float(wrong.sum()), _name(jets, wrong)))
        slots = mask
    nearest = np.full((len(jets), length), -1)
    stops = np.cumsum(lengths)
    for jet in np.flatnonzero((lengths > 0) & slots.any(axis=1)):
        own = ours[stops[jet] - lengths[jet] : stops[jet]]
        rows = theirs[jet][:, slots[jet]].T
        distance = np.abs(rows[:, None] - own[None]).max(axis=2)
        nearest[jet, slots[jet]] = stops[jet] - lengths[jet] + distance.argmin(axis=1)
    jet_of, slot = np.nonzero(nearest >= 0)
    for column, name in enumerate(names):
        found, values = ours[nearest[jet_of, slot], column], theirs[jet_of, column, slot]
        unit = max(abs(_scale(name)), 1.0)
        comparisons.append(_largest(f"{prefix}{name}", found, values, jets, jet_of, unit))
    return comparisons


def _scale(name: str) -> float:
    """Return what a feature is multiplied with, so that its rounding is too."""
    if isinstance(name, ColumnName):
        return name.feature.scale or 1.0
    return FEATURES[name].scale


def _compare_jets(
    conversion: Conversion,
    tensors: Mapping[str, Shaped[np.ndarray, "jets ..."]],
    jets: JetArrays,
) -> list[Comparison]:
    names = conversion.config.jet_features.resolved
    if not names:
        return []
    ours = jet_features(make_batch(jets), names).numpy()
    groups = [tensors[_INPUT + group].reshape(len(jets), -1) for group in conversion.jet_groups]
    theirs = np.concatenate(groups, axis=1)
    every = np.arange(len(jets))
    return [
        _largest(name, ours[:, column], theirs[:, column], jets, every, max(abs(_scale(name)), 1.0))
        for column, name in enumerate(names)
    ]


def _compare_truth(
    conversion: Conversion,
    tensors: Mapping[str, Shaped[np.ndarray, "jets ..."]],
    jets: JetArrays,
) -> list[Comparison]:
    comparisons = []
    labels = tensors.get(f"{_LABEL}_label_")
    if labels is not None and conversion.config.data.classes:
        wrong = assign_classes(jets, conversion.config.data.classes) != labels
        comparisons.append(Comparison("labels", float(wrong.sum()), _name(jets, wrong)))
    if "weight" in tensors:
        theirs, ours = tensors["weight"].astype(np.float64), jets.jet_weights.astype(np.float64)
        # Only ratios of weights mean anything: parttag's have a mean of 1.
        scale = theirs.sum() / ours.sum() if ours.sum() > 0 else 1.0
        comparisons.append(
            _largest("weights", ours * scale / theirs.max(), theirs / theirs.max(), jets, None)
        )
    return comparisons


def _largest(
    what: str,
    ours: Float[np.ndarray, " values"],
    theirs: Float[np.ndarray, " values"],
    jets: JetArrays,
    jet_of: Int64[np.ndarray, " values"] | None,
    unit: float = 1.0,
) -> Comparison:
    if not len(ours):
        return Comparison(what, 0.0, "")
    difference = np.abs(ours - theirs) / np.maximum(np.abs(theirs), unit)
    difference = np.where(np.isnan(difference), np.inf, difference)
    worst = int(difference.argmax())
    jet = worst if jet_of is None else int(jet_of[worst])
    return Comparison(what, float(difference[worst]), _name_of(jets, jet))


def _name(jets: JetArrays, wrong: Shaped[np.ndarray, " jets"]) -> str:
    return _name_of(jets, int(wrong.argmax())) if wrong.any() else ""


def _name_of(jets: JetArrays, jet: int) -> str:
    file_number, entry = split_index(jets.index[jet : jet + 1])
    return f"{jets.sources[int(file_number[0])]}, entry {int(entry[0])}"
