"""Any arrays go through every writer and reader; of damaged files nothing is guessed.

``scripts/fuzz_readers.py`` does the second at length; its counts are in
``docs/developers/damaged_files.md``.
"""

from dataclasses import replace

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers import mapped
from helpers.damage import (
    FAULT,
    FLAGGED,
    REFUSED,
    SAME,
    WITH_CHECKSUMS,
    WRITERS,
    damages,
    outcome,
    repeated_jets,
    write_quark_gluon,
)
from helpers.files import write_jetclass_parquet, write_jetclass_root, write_toptagging_h5
from helpers.mapped_files import MAPPED
from parttag.data.readers import read_chunks
from parttag.data.readers.column_layout import ColumnLayout
from parttag.data.readers.columns import ColumnsOptions
from parttag.jets.arrays import JetArrays, concatenate
from parttag.jets.packing import offsets_of

ANY_NUMBER = st.floats(width=32, allow_nan=True, allow_infinity=True)
COLUMNS = ColumnsOptions(
    particles={n: f"part_{n}" for n in ("px", "py", "pz", "energy")} | {"charge": "part_charge"},
    labels={"branches": {"label_top": "label_top", "label_QCD": "label_QCD"}},
)


@st.composite
def any_numbers(draw: st.DrawFn) -> dict[str, np.ndarray]:
    """Draw numbers of particles, and for these any numbers at all: not finite, subnormal …."""
    lengths = draw(st.lists(st.integers(0, 5), min_size=1, max_size=6))
    return {
        "lengths": np.array(lengths),
        "particles": draw(hnp.arrays(np.float32, (sum(lengths), 5), elements=ANY_NUMBER)),
        "jet_p4": draw(hnp.arrays(np.float32, (len(lengths), 4), elements=ANY_NUMBER)),
        "is_top": draw(hnp.arrays(np.uint8, len(lengths), elements=st.integers(0, 1))),
    }


def jets_of(
    lengths: np.ndarray, particles: np.ndarray, jet_p4: np.ndarray, is_top: np.ndarray
) -> JetArrays:
    """Return the jets of drawn numbers; apart, as the checks of types draw lots, too."""
    return JetArrays(
        p4=particles[:, :4],
        extra=particles[:, 4:],
        extra_names=("charge",),
        offsets=offsets_of(lengths),
        jet_p4=jet_p4,
        jet_axis=np.zeros((len(lengths), 2), np.float32),
        labels=np.stack([is_top, 1 - is_top], axis=1),
        label_names=("label_top", "label_QCD"),
        jet_weights=np.ones(len(lengths), np.float32),
        index=np.arange(len(lengths), dtype=np.int64),
        sources=("any",),
    )


def in_some_order(rows: np.ndarray) -> np.ndarray:
    """Return rows in an order that follows from their bits."""
    bits = np.ascontiguousarray(rows).view(np.uint32)
    return rows[np.lexsort(bits.T)]


def assert_same_particles(jets: JetArrays, expected: list[np.ndarray]) -> None:
    """Check each jet's particles, however they are ordered, and that pT falls where it is known."""
    assert len(jets) == len(expected)
    for row, particles in enumerate(expected):
        own = slice(jets.offsets[row], jets.offsets[row + 1])
        found = np.concatenate([jets.p4[own], jets.extra[own]], axis=1)
        np.testing.assert_array_equal(in_some_order(found), in_some_order(particles))
        with np.errstate(over="ignore"):
            pt = np.hypot(*found[:, :2].astype(np.float64).T)
        if np.isfinite(pt).all():
            assert (pt[1:] <= pt[:-1] * (1 + 1e-6)).all()


def canonical(p4: np.ndarray) -> np.ndarray:
    """Return one bit pattern for every way to write not a number, and for both zeros."""
    return np.where(np.isnan(p4), np.float32(np.nan), p4 + np.float32(0))


FEW = settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
WITHOUT = ["part_deta", "part_dphi", "jet_pt"]
ROUND_TRIPS = {
    "root": lambda p, jets: write_jetclass_root(p, jets, without=WITHOUT),
    "rntuple": lambda p, jets: write_jetclass_root(p, jets, without=WITHOUT, rntuple=True),
    "parquet": lambda p, jets: write_jetclass_parquet(p, jets, without=WITHOUT),
}


@pytest.mark.parametrize("layout", [None, ColumnLayout(COLUMNS)], ids=["jetclass", "columns"])
@pytest.mark.parametrize("kind", ROUND_TRIPS)
@FEW
@given(numbers=any_numbers())
def test_any_numbers_come_back_from_branches(tmp_path, kind, layout, numbers):
    jets = jets_of(**numbers)
    path = tmp_path / f"any.{kind}"
    path.unlink(missing_ok=True)
    kept = (jets.p4 != 0).any(axis=1)  # four zeros are padding
    found = concatenate(list(read_chunks(ROUND_TRIPS[kind](path, jets), layout=layout)))
    particles = np.concatenate([jets.p4, jets.extra], axis=1)
    expected = [
        canonical(particles[start:stop][kept[start:stop]])
        for start, stop in zip(jets.offsets, jets.offsets[1:], strict=False)
    ]
    assert_same_particles(_canonical(found), expected)
    is_top = found.labels[:, found.label_names.index("label_top")]
    np.testing.assert_array_equal(is_top, jets.labels[:, 0])


def _canonical(jets: JetArrays) -> JetArrays:
    return replace(jets, p4=canonical(jets.p4), extra=canonical(jets.extra))


@FEW
@given(numbers=any_numbers())
def test_any_numbers_come_back_from_the_top_tagging_table(tmp_path, numbers):
    jets = jets_of(**numbers)
    path = tmp_path / "any.h5"
    found = concatenate(list(read_chunks(write_toptagging_h5(path, jets))))
    expected = [
        canonical(part[~(part == 0).all(axis=1)]) for part in np.split(jets.p4, jets.offsets[1:-1])
    ]
    assert_same_particles(_canonical(found), expected)
    np.testing.assert_array_equal(found.labels, jets.labels)


@FEW
@given(
    slots=hnp.arrays(np.float64, (3, 4, 3), elements=st.floats(allow_subnormal=True)),
    numbers=hnp.arrays(np.float64, (3, 4, 1), elements=st.sampled_from([22.0, -211.0, 130.0])),
)
def test_any_numbers_are_read_from_quark_gluon_arrays(tmp_path, slots, numbers):
    with (tmp_path / "any.npz").open("wb") as file:
        np.savez(file, X=np.concatenate([slots, numbers], axis=2), y=np.array([0, 1, 1]))
    (jets,) = read_chunks(tmp_path / "any.npz")
    # Bad as they may be; slots without momentum and energy are none.
    assert (jets.lengths >= ((slots != 0).all(axis=2) | (numbers[..., 0] != 22)).sum(axis=1)).all()
    assert (jets.lengths <= 4).all()
    assert jets.labels[:, 0].tolist() == [0, 1, 1]
    pt = slots[..., 0]
    if np.isfinite(slots).all() and (np.abs(slots) < 80).all() and (pt > 1e-3).all():
        found = np.sort(np.hypot(*jets.p4[:, :2].astype(np.float64).T).reshape(3, 4))
        np.testing.assert_allclose(found, np.sort(pt), rtol=1e-5)


def test_what_the_damaged_quark_gluon_files_are_made_of_is_read(tmp_path):
    jets = concatenate(
        list(read_chunks(write_quark_gluon(tmp_path / "a.npz", repeated_jets(), np.savez)))
    )
    assert len(jets) == 25


@pytest.mark.parametrize("kind", [kind for kind in MAPPED if not kind.startswith("cluster")])
def test_what_the_damaged_files_of_columns_are_made_of_is_read(tmp_path, kind):
    whole = repeated_jets(1 if kind.startswith("within") else 5)  # those of an event overlap
    found = mapped.read(MAPPED[kind].write(tmp_path / "whole", whole), MAPPED[kind].text)
    assert found.lengths.tolist() == whole.lengths.tolist()
    np.testing.assert_allclose(found.p4, whole.p4, rtol=1e-6)
    if "label_top" in found.label_names:
        np.testing.assert_array_equal(found["label_top"], whole["label_top"])


@pytest.mark.parametrize("kind", [*WRITERS, *MAPPED])
def test_a_damaged_file_is_refused_or_read_but_never_a_fault_of_ours(tmp_path, kind):
    if kind.startswith("cluster"):
        pytest.importorskip("fastjet")
    layout = mapped.layout(MAPPED[kind].text) if kind in MAPPED else None
    write = MAPPED[kind].write if kind in MAPPED else WRITERS[kind]
    # Of few jets of events, pages are shorter uncompressed, and then without a checksum.
    path = write(tmp_path / "whole", repeated_jets(25 if kind in MAPPED else 6))
    whole = concatenate(list(read_chunks(path, layout=layout)))
    assert outcome(path, whole, layout) == SAME
    found = []
    for _, (_, content) in zip(range(12), damages(path.read_bytes(), seed=3), strict=False):
        (tmp_path / "damaged").write_bytes(content)
        found.append(outcome(tmp_path / "damaged", whole, layout))
    assert REFUSED in found
    assert not [result for result in found if result.startswith(FAULT)]
    if kind in (*WITH_CHECKSUMS, *MAPPED):
        assert set(found) <= {REFUSED, SAME, FLAGGED}
