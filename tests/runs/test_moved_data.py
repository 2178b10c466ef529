"""A run goes on with the data that it began with, wherever they lie and however they are named."""

import pytest

from helpers.runs import same_weights, toy_config
from parttag.errors import InputError
from parttag.runs.run import load_run
from parttag.runs.train import train_run


class KilledError(Exception):
    pass


def kill_in_the_second_epoch(items, *, total, description):
    for number, item in enumerate(items):
        if description == "epoch 2/2" and number == 2:
            raise KilledError
        yield item


@pytest.fixture
def begun(tmp_path):
    """A configuration, the run that was killed in its second epoch, and the whole one."""
    config = toy_config(tmp_path, f"data.test={tmp_path / 'val.h5'}", "training.epochs=2")
    whole = train_run(config, tmp_path / "whole")
    with pytest.raises(KilledError):
        train_run(config, tmp_path / "run", progress=kill_in_the_second_epoch)
    return config, tmp_path / "run", whole


def named(config, **names):
    data = config.data.model_copy(update=names)
    return config.model_copy(update={"data": data})


def test_data_that_were_moved_or_have_other_names_are_gone_on_with(begun, tmp_path, monkeypatch):
    config, run, whole = begun
    (tmp_path / "moved").mkdir()
    for name in ("train", "val"):
        (tmp_path / f"{name}.h5").rename(tmp_path / "moved" / f"{name}.h5")
    monkeypatch.chdir(tmp_path / "moved")
    moved = named(config, train=("train.h5",), val=("va*.h5",), test=("val.h5",))
    train_run(moved, run)
    assert same_weights(run, whole)
    log = (run / "train.log").read_text(encoding="utf-8")
    for name in ("train", "val"):
        assert log.count(f"data.{name} has other names than before, and the same sums") == 1
    assert load_run(run).config.data.train == ("train.h5",)
    train_run(moved, run)  # once more, with nothing to say
    assert (run / "train.log").read_text(encoding="utf-8").count("other names") == 2


def test_other_jets_under_new_names_are_refused(begun, tmp_path):
    config, run, _ = begun
    before = (run / "provenance.json").read_bytes()
    for names in ({"val": ()}, {"train": (str(tmp_path / "val.h5"),)}):
        with pytest.raises(InputError, match="the jets that this run began with have changed"):
            train_run(named(config, **names), run)
    assert (run / "provenance.json").read_bytes() == before


def test_other_test_files_are_another_run(begun):
    config, run, _ = begun
    with pytest.raises(InputError, match=r"another run, whose data\.test is different"):
        train_run(named(config, test=("other.h5",)), run)
