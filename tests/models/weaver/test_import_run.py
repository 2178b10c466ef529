"""parttag import: from a state dict to a run that evaluate and predict can use."""

import json
import sys
from pathlib import Path

import pytest
import torch

from helpers.weaver import weaver_golden, without_prefix
from parttag import cli
from parttag.errors import InputError
from parttag.models import build_model
from parttag.models.weaver import read_network
from parttag.runs.import_weights import import_run
from parttag.runs.run import load_run
from parttag.system.files import sha256
from parttag.training import checkpoint
from parttag.training.transfer import InitOptions, load_initial_weights

CLASSES = ("a", "b", "c")


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "weights.pt"
    torch.save(weaver_golden("0.4.17")[0], path)
    return path


def with_classes(path: Path, number: int) -> Path:
    """Replace the weights by those of as many classes."""
    state = without_prefix(weaver_golden("0.5.3")[0])
    torch.save(
        state | {"fc.0.weight": torch.ones(number, 16), "fc.0.bias": torch.ones(number)}, path
    )
    return path


@torch.no_grad()
def test_the_run_holds_the_network_that_was_read(weights, tmp_path):
    run = load_run(import_run(weights, "kin", tmp_path / "runs" / "new", classes=CLASSES))
    batch = weaver_golden("0.4.17")[1]
    assert torch.equal(run.model(batch), read_network(weights, "kin").network(batch))
    assert not run.model.training
    assert run.classes == CLASSES
    assert run.config.data.classes["b"] == ("label_b",)
    assert run.config.features == "kin"
    assert run.config.model.embed_dims == (16, 32, 16)


def test_fine_tuning_starts_from_the_imported_backbone(weights, tmp_path):
    run = load_run(import_run(weights, "kin", tmp_path / "new", classes=CLASSES))
    network = build_model(run.config.model, "kin", num_classes=2)
    load_initial_weights(network, InitOptions(path=str(run.directory)))
    for name, parameter in network.backbone.named_parameters():
        assert torch.equal(parameter, run.model.backbone.get_parameter(name))


def test_provenance_names_the_file_and_what_wrote_it(weights, tmp_path):
    directory = import_run(weights, "kin", tmp_path / "new", classes=CLASSES)
    provenance = json.loads((directory / "provenance.json").read_text())
    number = sum(p.numel() for p in load_run(directory).model.parameters())
    assert provenance["imported"] == {
        "path": str(weights),
        "bytes": weights.stat().st_size,
        "sha256": sha256(weights),
        "written_by": "weaver-core before 0.5",
        "recognized": f"Particle Transformer of version 1, {number:,} parameters, written by "
        "weaver-core before 0.5",
    }
    assert provenance["starts"][0]["packages"]["torch"] == torch.__version__


@pytest.mark.parametrize(
    ("number", "first", "labels"),
    [(10, "QCD", ("label_QCD",)), (2, "top", ("label_top", "label_Tbqq"))],
)
def test_known_numbers_of_classes_need_no_names(number, first, labels, weights, tmp_path):
    run = load_run(import_run(with_classes(weights, number), "kin", tmp_path / "new"))
    assert len(run.classes) == number
    assert run.classes[0] == first
    assert run.config.data.classes[first] == labels


@pytest.mark.parametrize("classes", [(), ("a", "b"), ("a", "b", "b")])
def test_names_that_do_not_number_the_classes_are_refused(classes, weights, tmp_path):
    with pytest.raises(InputError, match=r"has 3 classes; give their names .* classes="):
        import_run(weights, "kin", tmp_path / "new", classes=classes)
    assert not (tmp_path / "new").exists()


def test_one_class_is_refused(weights, tmp_path):
    with pytest.raises(InputError, match="objective classify needs two or more"):
        import_run(with_classes(weights, 1), "kin", tmp_path / "new", classes=("a",))


def test_nothing_is_overwritten(weights, tmp_path):
    directory = tmp_path / "old"
    directory.mkdir()
    with pytest.raises(InputError, match="old exists already; give another out"):
        import_run(weights, "kin", directory, classes=CLASSES)
    assert not list(directory.iterdir())


def test_a_failure_while_writing_leaves_nothing(weights, tmp_path, monkeypatch):
    def fail(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "write_checkpoint", fail)
    with pytest.raises(InputError, match=r"new cannot be written \(no space left on device\)"):
        import_run(weights, "kin", tmp_path / "runs" / "new", classes=CLASSES)
    assert not list((tmp_path / "runs").iterdir())


def run_cli(monkeypatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["parttag", *map(str, arguments)])
    with pytest.raises(SystemExit) as exit_info:
        cli.main()
    return int(exit_info.value.code or 0)


def test_the_command_makes_the_run(weights, tmp_path, monkeypatch, capsys):
    names = ["--model", "particle_transformer", "--features", "kin", "--classes", "a,b,c"]
    assert run_cli(monkeypatch, "import", weights, *names, "--out", tmp_path / "new") == 0
    assert f"imported: {tmp_path / 'new'}" in capsys.readouterr().out
    assert load_run(tmp_path / "new").classes == CLASSES


def test_the_command_takes_a_list_of_features(weights, tmp_path, monkeypatch):
    features = "log_pt,log_energy,log_pt_rel,log_energy_rel,delta_r,delta_eta,delta_phi"
    names = ["--features", features, "--classes", "a,b,c"]
    assert run_cli(monkeypatch, "import", weights, *names, "--out", tmp_path / "new") == 0
    assert load_run(tmp_path / "new").config.features == tuple(features.split(","))


def test_a_file_with_code_in_it_is_exit_code_2(tmp_path, monkeypatch, capsys):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "network.pt")
    names = ["--model", "particle_transformer", "--features", "kin", "--out", tmp_path / "new"]
    assert run_cli(monkeypatch, "import", tmp_path / "network.pt", *names) == 2
    assert "network.pt holds code or objects besides tensors" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
