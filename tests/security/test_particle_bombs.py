"""A few bytes that say a jet has millions of particles: refused, before the memory is taken."""

import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from helpers.files import write_jetclass_parquet, write_root
from helpers.limits import memory_for
from parttag.data.readers import count_jets, read_branches, read_chunks
from parttag.data.readers.column_layout import ColumnLayout
from parttag.data.readers.columns import ColumnsOptions
from parttag.errors import InputError
from parttag.testing import toy_jets

MOMENTUM = ("part_px", "part_py", "part_pz", "part_energy")
COLUMNS = {
    "particles": dict(zip(("px", "py", "pz", "energy"), MOMENTUM, strict=True)),
    "labels": {"branches": {"label_QCD": "label_QCD"}},
}


def _parquet(path, lengths, names=MOMENTUM, **options):
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    particles = pa.ListArray.from_arrays(offsets, np.ones(offsets[-1], np.float32))
    table = dict.fromkeys(names, particles) | {"label_QCD": np.ones(len(lengths), np.uint8)}
    pq.write_table(pa.table(table), path, **options)
    return path


def _read(path, **limit):
    layout = ColumnLayout(ColumnsOptions(**COLUMNS, **limit)) if limit else None
    return [len(jets) for jets in read_chunks(path, layout=layout)]


def test_one_jet_of_millions_in_parquet_is_refused_by_what_the_file_says_of_itself(tmp_path):
    path = _parquet(tmp_path / "bomb.parquet", [4_000_000])
    assert path.stat().st_size < 10_000
    with memory_for(60 << 20), pytest.raises(InputError, match=r"bomb.*4,000,000 particles"):
        _read(path)
    assert count_jets(path) == 1


def test_one_jet_of_millions_among_small_ones_is_refused_after_one_column(tmp_path):
    path = _parquet(tmp_path / "bomb.parquet", [1_000_000, *[1] * 50_000], [*MOMENTUM])
    with pytest.raises(InputError, match=r"bomb.*1,000,000 particles .* 100,000"):
        _read(path)


def test_many_large_jets_are_read_a_few_at_a_time(tmp_path):
    path = _parquet(tmp_path / "large.parquet", [60_000] * 70)
    with memory_for(1 << 30):
        sizes = _read(path)
    assert sum(sizes) == 70
    assert max(sizes) * 60_000 <= 1 << 21


def test_large_jets_hidden_behind_small_ones_are_refused_together(tmp_path):
    path = _parquet(tmp_path / "uneven.parquet", [90_000] * 100 + [1] * 200_000)
    with memory_for(1 << 30), pytest.raises(InputError, match="row groups"):
        _read(path)


@pytest.mark.parametrize("kind", ["tree", "rntuple", "parquet"])
def test_the_limit_is_an_option(kind, tmp_path):
    path = tmp_path / "large"
    branches = {
        name: ak.unflatten(np.ones(150_003, np.float32), [3, 150_000]) for name in MOMENTUM
    } | {"label_QCD": np.ones(2, np.uint8)}
    if kind == "parquet":
        _parquet(path, [3, 150_000])
    else:
        write_root(path, branches, rntuple=kind == "rntuple")
    with pytest.raises(InputError, match=r"large.*150,000 particles.*data\.columns\.max_particles"):
        _read(path)
    assert _read(path, max_particles=150_000) == [2]


@pytest.mark.parametrize(
    "kind",
    {
        "text": pa.array(["1"] * 3),
        "lists of lists": pa.array([[[1.0]]] * 3),
        "text in lists": pa.array([["1"]] * 3),
        "records": pa.array([{"a": 1.0}] * 3),
        "a fixed number of slots": pa.FixedSizeListArray.from_arrays(
            np.zeros(3 * 200_000, np.float32), 200_000
        ),
    }.items(),
    ids=lambda kind: kind[0],
)
def test_columns_of_other_types_are_refused_by_their_type(kind, tmp_path):
    path = tmp_path / "types.parquet"
    good = pa.array([[1.0]] * 3)
    table = dict.fromkeys(MOMENTUM, good) | {"part_py": kind[1]}
    pq.write_table(pa.table(table | {"label_QCD": np.ones(3)}), path)
    with memory_for(60 << 20), pytest.raises(InputError, match=r"types\.parquet.*part_py"):
        _read(path)


def test_one_jet_of_millions_in_a_tree_is_refused_by_what_the_file_says_of_itself(tmp_path):
    one = ak.unflatten(np.ones(4_000_000, np.float32), [4_000_000])
    branches = dict.fromkeys(MOMENTUM, one) | {"label_QCD": np.ones(1, np.uint8)}
    path = write_root(tmp_path / "bomb.root", branches)
    with memory_for(60 << 20), pytest.raises(InputError, match=r"bomb\.root.*in one jet"):
        _read(path)


def test_whole_columns_are_limited_too(tmp_path):
    path = _parquet(tmp_path / "bomb.parquet", [4_000_000])
    with memory_for(60 << 20), pytest.raises(InputError, match="4,000,000"):
        read_branches(path, ["part_px"])


def test_what_the_public_set_has_is_read_in_the_chunks_that_were_asked_for(tmp_path):
    path = write_jetclass_parquet(tmp_path / "a.parquet", toy_jets(0, lengths=[40] * 60))
    assert [len(jets) for jets in read_chunks(path, chunk_jets=25)] == [25, 25, 10]
