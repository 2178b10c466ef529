import awkward as ak
import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest
import uproot

from helpers.limits import largest_file
from parttag.errors import InputError
from parttag.system.row_files import new_score_file

COLUMNS = {
    "score_top": np.array([0.25, np.nan, 1.0], dtype=np.float32),
    "label": np.array([0, -1, 1]),
    "valid": np.array([1, 0, 1], dtype=np.uint8),
    "jet_tau1": ak.Array(np.array([0.1, 0.2, 0.3])[::-1]),  # not contiguous
    "is_good": ak.Array([True, False, True]),
    "part_px": ak.values_astype(ak.Array([[1.5, 2.5], [], [3.5]]), np.float32),
    "equal": ak.Array([[1, 2], [3, 4], [5, 6]]),
}
FORMATS = ("root", "h5", "parquet")


def read(path) -> dict[str, list]:
    if path.suffix == ".root":
        with uproot.open(path) as file:
            assert file["scores"].classname == "TTree"
            arrays = file["scores"].arrays()
            return {name: arrays[name].to_list() for name in COLUMNS}
    if path.suffix == ".h5":
        with h5py.File(path) as file:
            assert set(file) == set(COLUMNS)
            return {
                name: [row.tolist() if row.ndim else row.item() for row in file[name][:]]
                for name in COLUMNS
            }
    return pq.read_table(path).to_pydict()


@pytest.mark.parametrize("form", FORMATS)
def test_rows_come_back_in_order_whatever_the_format(tmp_path, form):
    path = tmp_path / f"scores.{form}"
    with new_score_file(path, overwrite=False) as append:
        append(COLUMNS)
        append({name: column[1:] for name, column in COLUMNS.items()})
    found = read(path)
    for name, column in COLUMNS.items():
        expected = column.tolist() + column[1:].tolist()
        if name == "score_top":
            np.testing.assert_array_equal(found[name], expected)
        else:
            assert found[name] == expected, name
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("form", FORMATS)
def test_a_chunk_without_rows_is_no_obstacle(tmp_path, form):
    path = tmp_path / f"scores.{form}"
    with new_score_file(path, overwrite=False) as append:
        append({name: column[:0] for name, column in COLUMNS.items()})
        append(COLUMNS)
    assert read(path)["part_px"] == COLUMNS["part_px"].to_list()


@pytest.mark.parametrize("form", FORMATS)
def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path, form):
    path = tmp_path / f"scores.{form}"
    noise = np.random.default_rng(0).random(100_000)
    with (
        pytest.raises(InputError, match=rf"scores.{form} cannot be written \(file too large\)"),
        largest_file(100_000),
        new_score_file(path, overwrite=False) as append,
    ):
        append({"noise": noise})
        append({"noise": noise})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", ["root", "h5"])
@pytest.mark.parametrize("column", [["a", "b"], [[[1]], []], [{"x": 1}, {"x": 2}], [1, None]])
def test_a_column_that_does_not_fit_is_named_with_its_type(tmp_path, form, column):
    path = tmp_path / f"scores.{form}"
    with (
        pytest.raises(InputError, match=r"branch odd of type .* does not fit .* write .parquet"),
        new_score_file(path, overwrite=False) as append,
    ):
        append({"odd": ak.Array(column)})
    assert list(tmp_path.iterdir()) == []


def test_parquet_takes_any_column(tmp_path):
    path = tmp_path / "scores.parquet"
    odd = {"text": ak.Array(["a", "b"]), "nested": ak.Array([[[1]], []])}
    with new_score_file(path, overwrite=False) as append:
        append(odd)
    assert pq.read_table(path).to_pydict() == {n: c.to_list() for n, c in odd.items()}


def test_another_format_is_refused_with_the_known_ones(tmp_path):
    with (
        pytest.raises(InputError, match=r"scores.csv: scores are written to \.root, \.h5"),
        new_score_file(tmp_path / "scores.csv", overwrite=False),
    ):
        pass


@pytest.mark.parametrize("form", FORMATS)
def test_an_error_before_the_first_row_leaves_nothing(tmp_path, form):
    with (
        pytest.raises(ZeroDivisionError),
        new_score_file(tmp_path / f"scores.{form}", overwrite=False),
    ):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
