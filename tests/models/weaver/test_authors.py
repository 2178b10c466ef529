"""Weights of authors' own code, against logits that this code itself gave for the same jets."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.weaver import GOLDEN
from parttag import cli
from parttag.errors import InputError
from parttag.jets.arrays import pack_jets
from parttag.jets.batch import make_batch
from parttag.models.weaver import read_network
from parttag.models.weaver.lgn import LGNConversion
from parttag.models.weaver.lorentz_net import IDENTITIES
from parttag.models.weaver.state_dicts import translate
from parttag.runs.run import load_run

SHARED_DATA = os.environ.get("PARTTAG_SHARED_DATA")
# Masses of massless particles are all rounding, which two ways to write E² − p² do not share.
TOLERANCE = {"rtol": 0, "atol": 1e-7}


def golden(name):
    """Return the authors' state dict and logits, and the jets, as scripts/peers/ made them."""
    with np.load(GOLDEN / f"{name}.npz") as file:
        arrays = dict(file)
    shapes = json.loads(str(arrays["shapes"]))
    parts = np.split(arrays["weights"], np.cumsum([int(np.prod(s)) for s in shapes.values()])[:-1])
    state = {
        key: torch.tensor(part.astype(np.float32)).view(shape)
        for (key, shape), part in zip(shapes.items(), parts, strict=True)
    }
    for key in list(state):
        if key.endswith("running_var"):
            state[key.replace("running_var", "num_batches_tracked")] = torch.tensor(0)
    kinds = arrays.get("identities", np.zeros((len(arrays["p4"]), 8)))
    offsets = np.append(0, arrays["ends"]).astype(np.int64)
    jets = pack_jets(
        arrays["p4"],
        offsets,
        extra=np.zeros((len(arrays["p4"]), 0), np.float32),
        extra_names=(),
        labels=np.zeros((len(offsets) - 1, 0), np.uint8),
        label_names=(),
        path="golden.npz",
        columns=dict(zip(IDENTITIES, kinds.astype(np.float32).T, strict=True)),
    )
    return state, jets, torch.tensor(arrays["logits"])


@pytest.fixture
def save(tmp_path):
    def write(state):
        torch.save(state, tmp_path / "weights.pt")
        return tmp_path / "weights.pt"

    return write


CASES = {"lorentz_net": "lorentz_net", "lorentz_net_qg": "lorentz_net", "lgn": "lgn"}


@pytest.mark.parametrize("name", CASES)
def test_logits_are_those_of_the_authors_code_with_the_signal_first(name, save):
    state, jets, expected = golden(name)
    assert (expected - expected[0]).abs().max() > 0.05  # the jets differ
    network = read_network(save(state), None, CASES[name]).network.double()
    with torch.no_grad():
        logits = network(make_batch(jets).to("cpu", torch.float64))
    torch.testing.assert_close(logits, expected.flip(1), **TOLERANCE)


@pytest.mark.parametrize("name", ["lorentz_net", "lorentz_net_qg"])
def test_the_clamp_of_the_authors_code_is_reached(name, save):
    state, jets, expected = golden(name)
    network = read_network(save(state), None, "lorentz_net").network.double()
    for block in network.backbone.blocks:
        block.is_clamped = False
    with torch.no_grad():
        logits = network(make_batch(jets).to("cpu", torch.float64))
    assert (logits - expected.flip(1)).abs().max() > 1e-4


@pytest.mark.parametrize(
    "order",
    [
        ((0, 0), (1, 1), (2, 0), (0, 2), (2, 2)),  # of Python since 3.8
        ((0, 0), (0, 2), (1, 1), (2, 0), (2, 2)),  # sorted
    ],
)
def test_another_order_of_representations_gives_other_logits(order, save):
    state, jets, expected = golden("lgn")
    path = save(state)
    read = read_network(path, None, "lgn")
    conversion = LGNConversion(order)
    with torch.device("meta"):
        empty = conversion.network(read.options, (), 2)
    keys = conversion.keys(read.options, state)
    weights = translate(empty.state_dict(), keys, state, path, conversion.their_shape)
    read.network.load_state_dict(conversion.finish(weights, state)[0])
    with torch.no_grad():
        logits = read.network.double()(make_batch(jets).to("cpu", torch.float64))
    assert (logits - expected.flip(1)).abs().max() > 1e-2


def test_what_was_recognized_and_the_options_that_reproduce_the_scores_are_said(
    save, tmp_path, monkeypatch, capsys
):
    path = save(golden("lgn")[0])
    monkeypatch.setattr(
        sys,
        "argv",
        ["parttag", "import", str(path), "--model", "lgn", "--out", str(tmp_path / "run")],
    )
    with pytest.raises(SystemExit) as exit_info:
        cli.main()
    assert not exit_info.value.code
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("recognized: Lorentz Group Network of momenta, with representations")
    assert "model.reference_padding: True" in said
    assert "model.channels: (1, 2, 1)" in said
    run = load_run(tmp_path / "run")
    assert run.config.model.reference_length == run.config.model.max_particles == 126
    assert list(run.config.data.classes) == ["top", "QCD"]
    provenance = json.loads((tmp_path / "run" / "provenance.json").read_text())
    assert provenance["imported"]["recognized"] == said[0].removeprefix("recognized: ")


def test_the_network_for_quarks_and_gluons_brings_its_features_and_classes(save, tmp_path):
    from parttag.runs.import_weights import import_run

    run = load_run(
        import_run(save(golden("lorentz_net_qg")[0]), None, tmp_path / "run", model="lorentz_net")
    )
    assert list(run.config.data.classes) == ["quark", "gluon"]
    assert [feature.column for feature in run.config.features] == list(IDENTITIES)
    assert run.config.model.coordinate_step == 0.001
    assert run.config.model.reference


@pytest.mark.parametrize("model", ["lorentz_net", "lgn"])
def test_features_of_a_network_that_reads_none_are_refused(model, save):
    with pytest.raises(InputError, match="makes its own inputs from four-momenta; leave features"):
        read_network(save(golden(model)[0]), "kin", model)


def test_weights_of_the_other_network_are_told_apart(save):
    with pytest.raises(InputError, match=r"holds a LorentzNet, as its graph_dec\.3\.weight tells"):
        read_network(save(golden("lorentz_net")[0]), None, "lgn")


def test_a_network_of_features_needs_their_names(save, tmp_path):
    from helpers.weaver import weaver_golden

    torch.save(weaver_golden("0.5.3")[0], tmp_path / "weaver.pt")
    with pytest.raises(InputError, match="reads 7 features, which weights do not name; give feat"):
        read_network(tmp_path / "weaver.pt", None)


@pytest.mark.skipif(SHARED_DATA is None, reason="set PARTTAG_SHARED_DATA")
@pytest.mark.parametrize(
    ("file", "model", "count"),
    [
        ("LorentzNet_top", "lorentz_net", 224_072),
        ("LorentzNet_qg", "lorentz_net", 227_096),
        ("LGN_run1", "lgn", 6_014),
    ],
)
def test_the_published_weights_are_read_whole(file, model, count):
    read = read_network(Path(SHARED_DATA) / "weights" / f"{file}.pt", None, model)
    assert sum(p.numel() for p in read.network.parameters()) == count
    assert f"{count:,} parameters" in read.recognized
