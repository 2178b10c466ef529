"""Jets read both ways: by parttag with a conversion, and by weaver-core with its own file."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from jaxtyping import Float, Int64, Shaped

from parttag.data.jet_files import JetFiles
from parttag.data.loading.dataset import JetDataset, open_dataset
from parttag.data.selection.classes import assign_classes
from parttag.errors import InputError, option
from parttag.jets.arrays import JetArrays, split_index
from parttag.jets.batch import make_batch
from parttag.jets.features import particle_features
from parttag.jets.jet_features import jet_features
from parttag.runs.weaver import peer
from parttag.runs.weaver.convert import Conversion

MOST_JETS = 500
_LABEL, _INPUT = "label:", "input:"


@dataclass(frozen=True)
class Comparison:
    """How far one thing of all jets is from weaver-core's.

    Parameters
    ----------
    what
        A feature, ``mask``, ``labels`` or ``weights``.
    difference
        The largest: of features in units of the number where that is above 1, of weights in those
        of the largest weight; of masks and labels, the number of jets that differ.
    where
        The name of a jet with it.
    """

    what: str
    difference: float
    where: str


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
    batch = make_batch(jets)
    ours = particle_features(batch, names).numpy()
    group, mask_name = str(conversion.group("features")), conversion.group("mask")
    theirs = tensors[_INPUT + group]
    length = theirs.shape[2]
    lengths = np.minimum(jets.lengths, length)
    slots = np.arange(length) < lengths[:, None]
    comparisons = []
    if mask_name is not None:
        mask = tensors[_INPUT + mask_name][:, 0] != 0
        wrong = (mask != slots).any(axis=1)
        comparisons.append(Comparison("mask", float(wrong.sum()), _name(jets, wrong)))
    rank = np.arange(len(ours)) - np.repeat(jets.offsets[:-1], jets.lengths)
    kept = ours[rank < length]
    for column, name in enumerate(names):
        own = theirs[:, column][slots]
        comparisons.append(_largest(name, kept[:, column], own, jets, np.nonzero(slots)[0]))
    return comparisons


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
        _largest(name, ours[:, column], theirs[:, column], jets, every)
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
) -> Comparison:
    if not len(ours):
        return Comparison(what, 0.0, "")
    difference = np.abs(ours - theirs) / np.maximum(np.abs(theirs), 1)
    difference = np.where(np.isnan(difference), np.inf, difference)
    worst = int(difference.argmax())
    jet = worst if jet_of is None else int(jet_of[worst])
    return Comparison(what, float(difference[worst]), _name_of(jets, jet))


def _name(jets: JetArrays, wrong: Shaped[np.ndarray, " jets"]) -> str:
    return _name_of(jets, int(wrong.argmax())) if wrong.any() else ""


def _name_of(jets: JetArrays, jet: int) -> str:
    file_number, entry = split_index(jets.index[jet : jet + 1])
    return f"{jets.sources[int(file_number[0])]}, entry {int(entry[0])}"
