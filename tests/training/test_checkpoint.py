import errno
import logging
import os
import pickle
import resource
from contextlib import contextmanager

import pytest
import torch

from parttag.errors import InputError
from parttag.models import build_model
from parttag.models.pfn import PFNOptions
from parttag.training.checkpoint import (
    describe_network,
    load_weights,
    random_state,
    read_checkpoint,
    read_last,
    set_random_state,
    write_checkpoint,
    write_last,
)

OPTIONS = PFNOptions(particle_dims=(8,), jet_dims=(8,))


def _content(number=0):
    network = {"config": {}, "classes": [], "features": []}
    others = ("optimizer", "state", "random_states")
    weights = {"w": torch.full((10_000,), float(number))}
    return {"weights": weights, "number": number, **network, **dict.fromkeys(others)}


def _damage(path, at=0.5):
    data = bytearray(path.read_bytes())
    data[int(at * len(data))] ^= 0xFF
    path.write_bytes(data)


@contextmanager
def _files_limited_to(num_bytes):
    """Make every file that grows beyond a size fail to be written, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_what_is_written_is_read_back(tmp_path):
    write_checkpoint(tmp_path / "a.pt", {**_content(3), "history": [{"loss": 0.5}], "none": None})
    content = read_checkpoint(tmp_path / "a.pt")
    assert content["number"] == 3
    assert content["history"] == [{"loss": 0.5}]
    assert torch.equal(content["weights"]["w"], torch.full((10_000,), 3.0))
    assert [path.name for path in tmp_path.iterdir()] == ["a.pt"]


def test_the_last_two_are_kept(tmp_path):
    for number in range(4):
        write_last(tmp_path, _content(number))
    assert read_checkpoint(tmp_path / "last.pt")["number"] == 3
    assert read_checkpoint(tmp_path / "last.previous.pt")["number"] == 2
    assert read_last(tmp_path)["number"] == 3


def test_without_a_checkpoint_there_is_none(tmp_path):
    assert read_last(tmp_path) is None


@pytest.mark.parametrize("at", [0.0, 0.3, 0.5, 0.8])
def test_a_damaged_last_checkpoint_falls_back_to_the_one_before_and_says_so(tmp_path, caplog, at):
    for number in range(2):
        write_last(tmp_path, _content(number))
    _damage(tmp_path / "last.pt", at)
    with caplog.at_level(logging.WARNING):
        assert read_last(tmp_path)["number"] == 0
    assert "last.pt is damaged" in caplog.text
    assert "going on from" in caplog.text


def test_a_truncated_and_a_missing_last_checkpoint_fall_back_as_well(tmp_path):
    for number in range(2):
        write_last(tmp_path, _content(number))
    last = tmp_path / "last.pt"
    last.write_bytes(last.read_bytes()[:-50])
    assert read_last(tmp_path)["number"] == 0
    last.unlink()  # killed between the two renames
    assert read_last(tmp_path)["number"] == 0


def test_two_damaged_checkpoints_are_refused(tmp_path):
    for number in range(2):
        write_last(tmp_path, _content(number))
    (tmp_path / "last.pt").write_bytes(b"")
    _damage(tmp_path / "last.previous.pt")
    with pytest.raises(InputError, match="no checkpoint in it can be read"):
        read_last(tmp_path)


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"none\.pt: there is no such checkpoint"):
        read_checkpoint(tmp_path / "none.pt")
    (tmp_path / "text.pt").write_text("hello")
    with pytest.raises(InputError, match="damaged, or is no file of weights"):
        read_checkpoint(tmp_path / "text.pt")
    torch.save({"state_dict": {}}, tmp_path / "other.pt")
    with pytest.raises(InputError, match="not a checkpoint of parttag"):
        read_checkpoint(tmp_path / "other.pt")
    torch.save({"weights": {}}, tmp_path / "half.pt")
    with pytest.raises(InputError, match="not a checkpoint of parttag"):
        read_checkpoint(tmp_path / "half.pt")


class Trap:
    """Runs a command when unpickled."""

    def __reduce__(self):
        return os.mkdir, ("sprung",)


def test_a_pickle_with_code_in_it_is_refused_and_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"weights": Trap()}, "trap.pt")
    with pytest.raises(InputError, match=r"trap\.pt"):
        read_checkpoint(tmp_path / "trap.pt")
    (tmp_path / "old.pt").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(InputError, match=r"old\.pt"):
        read_checkpoint(tmp_path / "old.pt")
    assert not (tmp_path / "sprung").exists()


def test_a_full_disk_is_one_sentence_and_leaves_the_checkpoints_intact(tmp_path):
    for number in range(2):
        write_last(tmp_path, _content(number))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with _files_limited_to(500), pytest.raises(InputError, match=r"last\.pt cannot be written"):
        write_last(tmp_path, _content(2))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("number", "advice"), [(errno.ENOSPC, "free some space"), (errno.EACCES, "another place")]
)
def test_a_disk_that_fails_at_the_last_moment_leaves_nothing_half_written(
    tmp_path, monkeypatch, number, advice
):
    write_last(tmp_path, _content(1))

    def fail(descriptor):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(InputError, match=advice):
        write_last(tmp_path, _content(2))
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"]
    assert read_last(tmp_path)["number"] == 1


def test_random_numbers_go_on_where_they_were():
    device = torch.device("cpu")
    state = random_state(device)
    drawn = torch.rand(5)
    set_random_state(state, device)
    assert torch.equal(torch.rand(5), drawn)


def _trained(features="kin", options=OPTIONS):
    model = build_model(options, features, 2)
    return {"weights": model.state_dict(), **describe_network(model, {}, ("top", "QCD"))}


def test_weights_of_the_same_network_are_loaded(tmp_path):
    content = _trained()
    model = build_model(OPTIONS, "kin", 2)
    load_weights(model, content, ("top", "QCD"), tmp_path)
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, content["weights"][name])


def test_a_checkpoint_of_another_network_features_or_classes_is_refused(tmp_path):
    model = build_model(OPTIONS, "kin", 2)
    path = tmp_path / "best.pt"
    wider = PFNOptions(particle_dims=(8,), jet_dims=(16,))
    with pytest.raises(InputError, match=r"best\.pt: .* another network: its head\.0\.weight is"):
        load_weights(model, _trained(options=wider), ("top", "QCD"), path)
    deeper = PFNOptions(particle_dims=(8, 8), jet_dims=(8,))
    with pytest.raises(InputError, match=r"its backbone\.2\.weight is \(8, 8\), .* is absent"):
        load_weights(model, _trained(options=deeper), ("top", "QCD"), path)
    with pytest.raises(InputError, match=r"has the features .*charge.*; they and their order"):
        load_weights(model, _trained("kinpid"), ("top", "QCD"), path)
    with pytest.raises(
        InputError, match="has the classes top, QCD, the configuration has QCD, top"
    ):
        load_weights(model, _trained(), ("QCD", "top"), path)
