from pathlib import Path

import numpy as np
import pytest

from parttag.data import open_dataset
from parttag.data.jet_files import JetFiles
from parttag.errors import InputError
from parttag.samples.toys import make_toys, toy_files

CLASSES = {"top": ["label_top"], "QCD": ["label_QCD"]}


def test_toys_are_good_jets_of_both_classes_in_files_that_are_read_as_any(tmp_path):
    make_toys(tmp_path, 40)
    for path in toy_files(tmp_path):
        dataset = open_dataset(JetFiles(path, strict=True), CLASSES)
        assert np.bincount(dataset.classes).tolist() == [20, 20]
    jets = dataset.take(np.arange(40))
    pt = np.hypot(jets.p4[:, 0], jets.p4[:, 1])
    steps = np.diff(pt)
    steps[jets.offsets[1:-1] - 1] = 0
    assert (steps <= 1e-3).all()  # falling pT within each jet
    mass = np.sqrt(np.maximum(jets.jet_p4[:, 3] ** 2 - (jets.jet_p4[:, :3] ** 2).sum(axis=1), 0))
    assert mass[dataset.classes == 0].mean() > 1.2 * mass[dataset.classes == 1].mean()


def test_parts_differ_and_are_the_same_every_time(tmp_path):
    for name in ("a", "b"):
        make_toys(tmp_path / name, 20)
    first, again = toy_files(tmp_path / "a"), toy_files(tmp_path / "b")
    jets = [
        [open_dataset([path], CLASSES).take(np.arange(20)).p4 for path in paths]
        for paths in (first, again)
    ]
    for one, other in zip(*jets, strict=True):
        np.testing.assert_array_equal(one, other)
    assert jets[0][0].shape != jets[0][1].shape


def test_toys_that_are_there_are_kept_unless_they_are_others(tmp_path):
    make_toys(tmp_path, 20)
    (path, *_) = toy_files(tmp_path)
    before = Path(path).read_bytes()
    make_toys(tmp_path, 20)
    assert Path(path).read_bytes() == before
    with pytest.raises(InputError, match=r"train\.root does not hold 30 toy jets"):
        make_toys(tmp_path, 30)
