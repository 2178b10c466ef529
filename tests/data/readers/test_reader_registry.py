"""Readers of formats that other packages add, through all that files go through."""

import json
from pathlib import Path

import awkward as ak
import numpy as np
import pytest

from helpers.files import write_jetclass_root
from parttag.data import JetStore, prepare
from parttag.data.readers import (
    count_jets,
    find_files,
    list_branches,
    read_branches,
    read_chunks,
    read_schema,
)
from parttag.data.readers.layout import Schema
from parttag.data.readers.registry import READERS, register_reader
from parttag.errors import InputError
from parttag.inspection.inspect import inspect_files
from parttag.jets.arrays import pack_jets, split_index
from parttag.testing import toy_jets


class LinesReader:
    """A line a jet: {"top": 1, "run": 7, "particles": [[px, py, pz, E], ...]}."""

    def _lines(self, path: Path) -> list[dict]:
        return [json.loads(line) for line in path.read_text().splitlines()]

    def count_jets(self, path, layout):
        return len(self._lines(path))

    def read_schema(self, path, layout):
        return Schema(label_names=("label_top",), extra_names=())

    def read_chunks(self, path, chunk_jets, layout):
        lines = self._lines(path)
        for start in range(0, len(lines), chunk_jets):
            part = lines[start : start + chunk_jets]
            p4 = np.concatenate([np.array(line["particles"], dtype=float) for line in part])
            yield pack_jets(
                p4,
                np.cumsum([0, *(len(line["particles"]) for line in part)]),
                extra=np.empty((len(p4), 0)),
                extra_names=(),
                labels=np.array([[line["top"]] for line in part], dtype=np.uint8),
                label_names=("label_top",),
                path=path,
                first_row=start,
            )

    def list_branches(self, path, layout):
        return ["run"]

    def read_branches(self, path, names, layout):
        return {name: ak.Array([line[name] for line in self._lines(path)]) for name in names}


@pytest.fixture
def registered(monkeypatch):
    monkeypatch.setattr(READERS, "_entries", dict(READERS._entries))
    register_reader("lines", suffixes=[".jets.jsonl"])(LinesReader)


@pytest.fixture
def path(tmp_path, registered):
    toys = toy_jets(7)
    lines = [
        {"top": int(toys.labels[i, 0]), "run": 7 + i, "particles": toys.span(i, i + 1).p4.tolist()}
        for i in range(7)
    ]
    path = tmp_path / "a.jets.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_its_files_are_found_counted_and_read(path):
    (path.parent / "notes.jsonl").write_text("{}")
    assert find_files([path.parent]) == (path,)
    assert count_jets(path) == 7
    assert read_schema(path).label_names == ("label_top",)
    chunks = list(read_chunks(path, chunk_jets=3, file_number=1, sources=("x", "y")))
    assert [len(chunk) for chunk in chunks] == [3, 3, 1]
    np.testing.assert_array_equal(chunks[0].p4, toy_jets(7).span(0, 3).p4)
    files, rows = split_index(chunks[1].index)
    assert (files.tolist(), rows.tolist()) == ([1, 1, 1], [3, 4, 5])
    assert chunks[0].sources == ("x", "y")


def test_its_branches_are_passed_through(path):
    assert list_branches(path) == ("run",)
    assert read_branches(path, ["run"])["run"].to_list() == list(range(7, 14))
    with pytest.raises(InputError, match=r"a\.jets\.jsonl has no branch lumi; it has run"):
        read_branches(path, ["lumi"])


def test_its_jets_are_prepared_and_inspected(path, tmp_path):
    assert inspect_files([path]).num_jets == 7
    prepare([path], tmp_path / "store", shuffle=False)
    (jets,) = JetStore(tmp_path / "store").read_chunks(100)
    np.testing.assert_array_equal(jets.p4, toy_jets(7).p4)


def test_a_suffix_of_another_reader_is_refused(registered):
    with pytest.raises(InputError, match=r"end in \.root are read by the reader root"):
        register_reader("mine", suffixes=[".root"])(LinesReader)
    with pytest.raises(InputError, match="there is a reader of the name root already"):
        register_reader("root", suffixes=[".mine"])(LinesReader())


def test_a_reader_that_lacks_something_is_refused():
    class Less:
        def count_jets(self, path, layout): ...

    with pytest.raises(TypeError, match="the reader less lacks read_schema, read_chunks"):
        register_reader("less", suffixes=[".less"])(Less)


def test_what_a_file_begins_with_can_choose_the_reader(tmp_path, registered):
    register_reader("marked", suffixes=[], magic=b'{"top"')(LinesReader())
    path = tmp_path / "no.suffix"
    path.write_text('{"top": 1, "run": 1, "particles": [[1, 0, 0, 1]]}\n')
    assert count_jets(path) == 1


def test_the_own_formats_are_entries(tmp_path):
    assert list(READERS)[:6] == ["root", "hdf5", "toptagging", "parquet", "npz", "quarkgluon"]
    path = write_jetclass_root(tmp_path / "a.root", toy_jets(3))
    assert "part_px" in list_branches(path)
    prepare([path], tmp_path / "store")
    assert list_branches(tmp_path / "store") == ()
