"""``JetFiles``: which files, how they are read, and which of their jets count."""

import pickle
from dataclasses import replace

import numpy as np
import pytest

from helpers.files import write_jetclass_root, write_toptagging_h5
from parttag.data import prepare
from parttag.data.jet_files import JetFiles
from parttag.data.readers.columns import ColumnsOptions
from parttag.data.selection.cuts import CutOptions
from parttag.errors import InputError
from parttag.jets.arrays import concatenate
from parttag.samples.toys import make_toys
from parttag.system.files import sha256
from parttag.testing import toy_jets


@pytest.fixture
def paths(tmp_path):
    """Two files of 12 jets; the third of each has a particle that is no number."""
    found = []
    for seed in (0, 1):
        toys = toy_jets(12, seed=seed)
        p4 = toys.p4.copy()
        p4[toys.offsets[2]] = np.nan
        found.append(write_jetclass_root(tmp_path / f"{seed}.root", replace(toys, p4=p4)))
    return found


def test_paths_are_found_when_they_are_needed(tmp_path):
    files = JetFiles(f"{tmp_path}/*.root")
    assert files.patterns == (f"{tmp_path}/*.root",)
    write_jetclass_root(tmp_path / "a.root", toy_jets(2))
    assert files.paths == (tmp_path / "a.root",)
    with pytest.raises(InputError, match="there is no such file"):
        _ = JetFiles([tmp_path / "b.root"]).paths


def test_all_jets_are_counted_and_good_ones_come_in_chunks(paths):
    files = JetFiles(paths)
    assert files.count() == 24
    chunks = list(files.chunks(chunk_jets=5))
    assert [len(jets) for jets in chunks] == [4, 5, 2, 4, 5, 2]
    expected = [toy_jets(12, seed=seed).take(np.r_[0:2, 3:12]).p4 for seed in (0, 1)]
    np.testing.assert_array_equal(concatenate(chunks).p4, np.concatenate(expected))
    with pytest.raises(InputError, match=r"0\.root, jet 2 is bad \(non-finite momentum\)"):
        list(JetFiles(paths, strict=True).chunks())


def test_every_jet_comes_with_its_file(paths):
    steps = []

    def progress(items, *, total, description):
        steps.append((total, description))
        return items

    found = list(JetFiles(paths).all_jets(progress, "scoring", step_jets=8))
    assert [(path, len(jets)) for path, jets in found] == [
        (paths[0], 8), (paths[0], 4), (paths[1], 8), (paths[1], 4)
    ]  # fmt: skip
    assert steps == [(4, "scoring")]


def test_cuts_leave_jets_out(paths):
    cuts = CutOptions(num_particles=(20, None))
    lengths = np.concatenate([toy_jets(12, seed=seed).lengths for seed in (0, 1)])
    good = np.arange(24) % 12 != 2
    files = JetFiles(paths, cuts=cuts)
    assert sum(map(len, files.chunks())) == (good & (lengths >= 20)).sum()
    assert files.count() == 24


def test_columns_say_what_the_branches_mean(paths):
    columns = ColumnsOptions(labels={"files": {"a": "0.root", "b": "1.root"}})
    chunks = list(JetFiles(paths, columns).chunks())
    assert chunks[0].label_names == ("a", "b")
    other = {"labels": {"branches": {"a": "is_a"}}}
    files = JetFiles(paths, ColumnsOptions(**other), truth_optional=True)
    assert next(files.chunks()).label_names == ()
    with pytest.raises(InputError, match="no branch is_a"):
        list(JetFiles(paths, ColumnsOptions(**other)).chunks())


def test_they_describe_their_sources(paths, tmp_path):
    prepare(paths, tmp_path / "store")
    described = JetFiles(paths).describe()
    assert [(s.path, s.sha256) for s in described] == [(str(p), sha256(p)) for p in paths]
    assert JetFiles(tmp_path / "store").describe() == described


def test_files_that_parttag_made_are_known(paths, tmp_path):
    make_toys(tmp_path / "toys", 4)
    assert JetFiles([*paths, tmp_path / "toys" / "jets"]).is_simulated
    assert not JetFiles(paths).is_simulated
    assert not JetFiles(write_toptagging_h5(tmp_path / "a.h5", toy_jets(2))).is_simulated


def test_they_travel_to_other_processes(paths):
    files = JetFiles(paths, ColumnsOptions(tree="tree"), CutOptions(jet_pt=(1, None)), True)
    again = pickle.loads(pickle.dumps(files))
    assert again == files
    assert hash(again) == hash(files)
    assert again.at(paths[:1]) == replace(files, patterns=paths[:1])
