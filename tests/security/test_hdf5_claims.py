"""HDF5 files that claim more than they hold: nothing is believed that is not stored."""

import h5py
import numpy as np
import pytest

from helpers.files import write_toptagging_h5
from helpers.limits import memory_for
from parttag.data.readers import count_jets, read_branches, read_chunks
from parttag.data.readers.column_layout import ColumnLayout
from parttag.data.readers.columns import ColumnsOptions
from parttag.errors import InputError
from parttag.evaluation.scored_jets import read_scored_jets
from parttag.testing import toy_jets

NAMES = ("px", "py", "pz", "energy")
FLAT = {"particles": {name: name for name in NAMES}}
COUNTED = {"particles": {name: name for name in NAMES} | {"count": "n"}}
TABLE = [("index", "<i8"), ("values_block_0", "<f4", (804,)), ("values_block_1", "<i8", (2,))]


def _read(path, columns, chunk_jets=10_000):
    layout = ColumnLayout(ColumnsOptions(**columns))
    return [len(jets) for jets in read_chunks(path, layout=layout, chunk_jets=chunk_jets)]


def _refused(path, columns, match):
    with memory_for(1 << 29), pytest.raises(InputError, match=match):
        _read(path, columns)


@pytest.mark.parametrize("chunks", [(1 << 16,), (1 << 30,)])
def test_a_table_of_a_trillion_jets_in_two_kilobytes_is_refused(chunks, tmp_path):
    path = tmp_path / "claims.h5"
    with h5py.File(path, "w") as file:
        dtype = TABLE if len(chunks) == 1 and chunks[0] < 1 << 20 else "i4"
        file.create_dataset("table/table", (10**12,), dtype, chunks=chunks)
    with memory_for(1 << 29), pytest.raises(InputError, match=r"claims\.h5"):
        list(read_chunks(path))
    with memory_for(1 << 29), pytest.raises(InputError, match=r"claims\.h5"):
        read_branches(path, ["ttv"])
    with pytest.raises(InputError, match=r"claims\.h5"):
        count_jets(path)


@pytest.mark.parametrize("layout", ["chunked", "contiguous"])
def test_datasets_of_slots_that_were_never_written_are_refused(layout, tmp_path):
    path = tmp_path / "claims.h5"
    with h5py.File(path, "w") as file:
        for name in NAMES:
            how = {"chunks": (1 << 16, 4)} if layout == "chunked" else {}
            file.create_dataset(name, (10**10, 4), "f4", **how)
    _refused(path, FLAT, r"claims\.h5: \w+ .* never written")


def test_a_huge_count_is_refused(tmp_path):
    path = tmp_path / "count.h5"
    with h5py.File(path, "w") as file:
        for name in NAMES:
            file[name] = np.ones(10, np.float32)
        file["n"] = np.array([2**63, 2**63 + 10], np.uint64)
    _refused(path, COUNTED, r"n counts")


def test_counts_are_read_a_piece_at_a_time(tmp_path):
    path = tmp_path / "count.h5"
    jets = 10_000_000  # of no particle: as numbers of 8 bytes, 80 MB, and as offsets as many again
    with h5py.File(path, "w") as file:
        for name in NAMES:
            file[name] = np.ones(10, np.float32)
        counts = file.create_dataset("n", (jets,), "i8", chunks=(1 << 20,), compression="gzip")
        counts[0] = 10
        for start in range(1 << 20, jets, 1 << 20):
            counts[start] = 0
    layout = ColumnLayout(ColumnsOptions(**COUNTED))
    with memory_for(70 << 20):
        assert count_jets(path, layout) == jets
        first = next(iter(read_chunks(path, layout=layout, chunk_jets=1000)))
    assert first.lengths[:2].tolist() == [10, 0]


def test_counts_cut_particles_into_jets_in_every_chunk(tmp_path):
    path = tmp_path / "count.h5"
    lengths = np.array([3, 0, 2, 4, 1, 0, 5])
    with h5py.File(path, "w") as file:
        for factor, name in enumerate(NAMES, start=1):
            file[name] = factor * np.arange(15.0, 0, -1, np.float32)
        file["n"] = lengths
    layout = ColumnLayout(ColumnsOptions(**COUNTED))
    chunks = list(read_chunks(path, layout=layout, chunk_jets=3))
    assert [n for jets in chunks for n in jets.lengths] == lengths.tolist()
    np.testing.assert_array_equal(
        np.concatenate([jets.p4[:, 0] for jets in chunks]), np.arange(15.0, 0, -1)
    )


def test_more_slots_than_a_jet_can_have_are_refused_unread(tmp_path):
    path = tmp_path / "slots.h5"
    with h5py.File(path, "w") as file:
        for name in NAMES:
            data = file.create_dataset(
                name, (4, 2_000_000), "f4", chunks=(1, 2_000_000), compression="gzip"
            )
            for row in range(4 if name == "px" else 0):
                data[row, :1] = 1
    _refused(path, FLAT, r"slots\.h5.*2,000,000 particles")


def test_a_chunk_larger_than_memory_is_refused_unread(tmp_path):
    path = tmp_path / "chunk.h5"
    with h5py.File(path, "w") as file:
        for name in NAMES:
            file.create_dataset(name, (10, 4), "f4", maxshape=(None, 4), chunks=(1 << 26, 4))
    _refused(path, FLAT, r"chunk\.h5: \w+ is stored in chunks of")


@pytest.mark.parametrize(
    "kind", ["S1000000", "V1000000", h5py.string_dtype(), "c8", h5py.ref_dtype]
)
def test_what_are_no_numbers_is_refused_by_its_type(kind, tmp_path):
    path = tmp_path / "types.h5"
    with h5py.File(path, "w") as file:
        for name in NAMES:
            file[name] = np.ones((3, 4), np.float32)
        del file["py"]
        file.create_dataset("py", (3, 4), kind, fillvalue=None)
        file["py"][...] = np.zeros((3, 4), "V1000000") if kind == "V1000000" else file["py"][...]
    _refused(path, FLAT, r"types\.h5.*py")


def test_rows_that_share_one_large_list_do_not_multiply_it(tmp_path):
    path = tmp_path / "shared.h5"
    with h5py.File(path, "w") as file:
        for name in NAMES:
            data = file.create_dataset(name, (5000,), h5py.vlen_dtype(np.float32))
            data[0] = np.ones(500_000, np.float32)
    content = path.read_bytes()
    # A row is its length and the address of its list in the file: give every row that of the first.
    first = content.index((500_000).to_bytes(4, "little"))
    copies = content.split(content[first : first + 16])
    assert len(copies) == 2
    changed = bytearray(content)
    changed[first : first + 16 * 5000] = content[first : first + 16] * 5000
    path.write_bytes(changed)
    _refused(path, FLAT, r"shared\.h5")


def test_scores_that_were_never_written_are_refused(tmp_path):
    path = tmp_path / "scores.h5"
    with h5py.File(path, "w") as file:
        for name in ("logit_a", "logit_b", "label", "valid"):
            file.create_dataset(name, (10**10,), "f4", chunks=(1 << 16,))
    with memory_for(1 << 29), pytest.raises(InputError, match=r"scores\.h5: logit_a .* written"):
        read_scored_jets(path, ["a", "b"])


def test_files_as_pandas_and_h5py_write_them_are_read(tmp_path):
    jets = toy_jets(20)
    for compression in ("zlib", "blosc", None):
        path = write_toptagging_h5(tmp_path / f"{compression}.h5", jets, compression=compression)
        assert sum(map(len, read_chunks(path))) == 20


def _with_another_entry(path, place, value):
    """Change a number of 4 bytes in the only entry of the index of chunks: size, filters, place.

    Its node is a sign, 20 bytes of what it is, and then the key of the first chunk (HDF5 File
    Format Specification, III.A.1).
    """
    content = bytearray(path.read_bytes())
    node = content.rindex(b"TREE\x01") + 24
    content[node + place : node + place + 4] = value.to_bytes(4, "little")
    path.write_bytes(content)


@pytest.mark.parametrize(
    "place, value, how",
    [
        pytest.param(0, 0, {"compression": "gzip"}, id="no bytes: HDF5 1.14 crashes"),
        pytest.param(4, 2, {"compression": "gzip", "fletcher32": True}, id="no checksum"),
        pytest.param(4, 1, {"compression": "gzip"}, id="not compressed, but short"),
        pytest.param(0, 99, {}, id="short"),
        pytest.param(16, 400, {"compression": "gzip"}, id="beyond the end"),
    ],
)
def test_a_chunk_that_cannot_be_so_is_refused(tmp_path, place, value, how):
    path = tmp_path / "claims.h5"
    with h5py.File(path, "w") as file:
        for name in NAMES:
            chunked = how if name == NAMES[-1] else {}
            chunks = {"chunks": (10, 4)} if name == NAMES[-1] else {}
            file.create_dataset(name, data=np.ones((10, 4), "f4"), **chunks, **chunked)
    assert _read(path, FLAT) == [10]
    _with_another_entry(path, place, value)
    _refused(path, FLAT, "energy claims 10 rows, of which a part was never written")
