"""Jets that train, val and test share: one file in two of them, and jets in several files."""

import shutil

import pytest

from helpers.files import write_toptagging_h5
from helpers.runs import toy_config
from parttag.data.loading.dataset import open_dataset
from parttag.errors import InputError
from parttag.runs.config import load_config
from parttag.runs.overlap import shared_jets_warning
from parttag.runs.train import train_run
from parttag.testing import toy_jets

CLASSES = {"top": ["label_top"], "QCD": ["label_QCD"]}


@pytest.mark.parametrize("part", ["val", "test"])
def test_a_file_of_the_training_under_another_name_is_refused(tmp_path, part):
    toy_config(tmp_path)
    shutil.copy(tmp_path / "train.h5", tmp_path / "other.h5")
    config = load_config(tmp_path / "config.yaml", [f"data.{part}={tmp_path / 'other.h5'}"])
    with pytest.raises(
        InputError, match=rf"of data\.train and .*other\.h5 of data\.{part} are one"
    ):
        train_run(config, tmp_path / "run")


def test_jets_that_two_files_share_are_counted(tmp_path):
    jets = toy_jets(40)
    train = write_toptagging_h5(tmp_path / "train.h5", jets)
    val = write_toptagging_h5(tmp_path / "val.h5", jets.span(10, 30))
    other = write_toptagging_h5(tmp_path / "other.h5", toy_jets(40, seed=9))
    first, second, third = (open_dataset([path], CLASSES) for path in (train, val, other))
    assert "20 of 20 jets have exactly the particles" in shared_jets_warning(first, second)
    assert shared_jets_warning(first, third) is None
