"""Which files a pattern means, which reader a file gets, and what is said of the unreadable."""

from pathlib import Path

import pytest

from helpers.files import write_jetclass_parquet, write_jetclass_root, write_toptagging_h5
from parttag.data import prepare
from parttag.data.readers import count_jets, find_files, read_branches, read_chunks
from parttag.errors import InputError
from parttag.jets.arrays import split_index
from parttag.testing import toy_jets


@pytest.fixture
def folder(tmp_path) -> Path:
    for name in ("b.root", "a.root", "notes.txt", "c.parquet", "d.h5"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "e.ROOT").write_bytes(b"x")
    return tmp_path


def names(files):
    return [path.name for path in files]


def test_a_directory_stands_for_the_readable_files_right_inside_it(folder):
    assert names(find_files([folder])) == ["a.root", "b.root", "c.parquet", "d.h5"]
    assert names(find_files([folder / "sub"])) == ["e.ROOT"]


def test_globs_are_sorted_and_files_keep_the_order_of_the_patterns(folder):
    assert names(find_files([f"{folder}/d.h5", f"{folder}/*.root"])) == ["d.h5", "a.root", "b.root"]
    assert names(find_files([f"{folder}/**/*.ROOT"])) == ["e.ROOT"]


def test_a_file_named_twice_is_read_once(folder):
    assert names(find_files([folder / "a.root", f"{folder}/sub/../*.root"])) == ["a.root", "b.root"]


def test_a_store_is_one_entry(tmp_path):
    path = write_jetclass_root(tmp_path / "a.root", toy_jets(2))
    prepare([path], tmp_path / "store")
    assert names(find_files([tmp_path / "store"])) == ["store"]
    assert names(find_files([tmp_path])) == ["a.root", "store"]


@pytest.mark.parametrize("pattern", ["none.root", "none*.root", "sub/none"])
def test_a_pattern_that_matches_nothing_is_refused(folder, pattern):
    with pytest.raises(InputError, match="there is no such file"):
        find_files([folder / "a.root", folder / pattern])


def test_a_directory_with_nothing_to_read_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no file to read"):
        find_files([tmp_path])


def test_a_directory_that_is_no_store_cannot_be_read_as_one(folder):
    with pytest.raises(InputError, match=r"is not a store: it has no manifest\.json"):
        count_jets(folder)


def test_the_format_is_known_by_the_content_not_the_name(tmp_path):
    toys = toy_jets(3)
    for write in (write_jetclass_root, write_jetclass_parquet, write_toptagging_h5):
        assert count_jets(write(tmp_path / "jets.dat", toys)) == 3
        (tmp_path / "jets.dat").unlink()


def test_the_index_counts_the_sources_given(tmp_path):
    path = write_jetclass_root(tmp_path / "a.root", toy_jets(3))
    (jets,) = read_chunks(path, file_number=2, sources=("x", "y", "z"))
    files, rows = split_index(jets.index)
    assert files.tolist() == [2, 2, 2]
    assert rows.tolist() == [0, 1, 2]
    assert jets.sources == ("x", "y", "z")


def test_a_store_has_no_branches_to_keep(tmp_path):
    prepare([write_jetclass_root(tmp_path / "a.root", toy_jets(2))], tmp_path / "store")
    with pytest.raises(InputError, match=r"holds jets only, not the other branches \(jet_tau1\)"):
        read_branches(tmp_path / "store", ["jet_tau1"])


WRITERS = {
    "root": write_jetclass_root,
    "ntuple.root": lambda path, toys: write_jetclass_root(path, toys, rntuple=True),
    "parquet": write_jetclass_parquet,
    "zlib.h5": write_toptagging_h5,
    "blosc.h5": lambda path, toys: write_toptagging_h5(path, toys, compression="blosc"),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_a_truncated_file_is_refused_by_name(tmp_path, kind):
    whole = WRITERS[kind](tmp_path / f"whole.{kind}", toy_jets(20)).read_bytes()
    path = tmp_path / f"cut.{kind}"
    for share in (0, 0.002, 0.1, 0.5, 0.9):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(InputError, match=f"^{path}"):
            list(read_chunks(path))


def test_an_empty_file_is_called_empty(tmp_path):
    (tmp_path / "a.root").touch()
    with pytest.raises(InputError, match=r"a\.root is empty"):
        count_jets(tmp_path / "a.root")


def test_a_file_of_another_format_is_refused(tmp_path):
    (tmp_path / "a.root").write_text("jet_pt,jet_eta\n")
    with pytest.raises(InputError, match="does not begin as a ROOT, HDF5, parquet or npz file"):
        list(read_chunks(tmp_path / "a.root"))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"gone\.root: there is no such file"):
        list(read_chunks(tmp_path / "gone.root"))


def test_a_file_without_permission_is_named(tmp_path, monkeypatch):
    path = write_jetclass_root(tmp_path / "a.root", toy_jets(2))

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InputError, match=r"a\.root: no permission to read it"):
        count_jets(path)
