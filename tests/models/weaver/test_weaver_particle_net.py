"""ParticleNet's weights of weaver-core, against logits that weaver-core gave for the same jets."""

import os
from pathlib import Path

import pytest
import torch

from helpers.weaver import weaver_golden, without_prefix
from parttag.data.readers import read_chunks
from parttag.errors import InputError
from parttag.jets.batch import make_batch
from parttag.models import build_model
from parttag.models.particle_net import ParticleNetOptions
from parttag.models.weaver import KNOWN_CLASSES, read_network
from parttag.runs.import_weights import import_run
from parttag.runs.run import load_run
from parttag.training.optimizers import parameter_groups
from parttag.training.transfer import (
    InitOptions,
    learning_rate_multipliers,
    load_initial_weights,
)

# Two float32 sums in another order; a neighbour that flips would show as 1e-2.
TOLERANCE = {"atol": 5e-5, "rtol": 0}
SHARED_DATA = os.environ.get("PARTTAG_SHARED_DATA")


def golden():
    return weaver_golden("0.5.3", "particle_net_")


def read(path, **changes):
    return read_network(path, changes.pop("features", "full"), "particle_net")


@pytest.fixture
def save(tmp_path):
    def write(content):
        torch.save(content, tmp_path / "weights.pt")
        return tmp_path / "weights.pt"

    return write


def test_logits_are_those_of_weaver_for_jets_of_any_length(save):
    state, batch, expected = golden()
    assert {1, 2, 15, 16, 17, 18, 128} <= set(batch.lengths.tolist())
    assert expected.std(dim=0).min() > 0.05  # the jets differ: an agreement says something
    network = read(save(state)).network
    with torch.no_grad():
        torch.testing.assert_close(network(batch), expected, **TOLERANCE)


def test_sizes_are_read_from_the_shapes(save):
    read_back = read(save(golden()[0]))
    assert read_back.num_classes == 3
    assert read_back.options.edge_dims == ((8, 8, 8), (12, 12, 12))
    assert read_back.options.num_neighbours == 16
    assert read_back.options.jet_dims == (16,)
    assert read_back.written_by == "weaver-core"


def test_a_network_of_the_lite_widths_has_seven_neighbours(save):
    ours = build_model(
        read(save(golden()[0])).options.model_copy(
            update={"edge_dims": ((32, 32, 32), (64, 64, 64))}
        ),
        "full",
        3,
    )
    assert read(save(as_weaver(ours))).options.num_neighbours == 7


def as_weaver(network):
    """Return our network's state by weaver's names, written out once more."""
    names = {"head": "fc.1", "backbone.jet_layers.0": "fc.0.0", "backbone.input_norm": "bn_fts"}
    for block in range(len(network.backbone.blocks)):
        ours, theirs = f"backbone.blocks.{block}", f"edge_convs.{block}"
        names |= {f"{ours}.shortcut.0": f"{theirs}.sc", f"{ours}.shortcut.1": f"{theirs}.sc_bn"}
        for layer in range(3):
            names[f"{ours}.edges.layers.{layer}.linear"] = f"{theirs}.convs.{layer}"
            names[f"{ours}.edges.layers.{layer}.norm"] = f"{theirs}.bns.{layer}"
    state = {}
    for key, value in network.state_dict().items():
        module, _, leaf = key.rpartition(".")
        axes = 2 * (".convs." in names[module]) + names[module].endswith(".sc")
        state[f"{names[module]}.{leaf}"] = value.reshape((*value.shape, *[1] * axes))
    return state


def test_a_network_of_ours_comes_back_from_weavers_names(save):
    network = read(save(golden()[0])).network
    again = read(save(as_weaver(network))).network
    for name, value in network.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])


def test_a_head_that_weaver_fine_tuned_is_read(save):
    state, batch, expected = golden()
    renamed = {key.replace("mod.fc.1.", "fc_out."): value for key, value in state.items()}
    network = read(save(renamed)).network
    with torch.no_grad():
        torch.testing.assert_close(network(batch), expected, **TOLERANCE)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("bn_fts.weight", "there is no bn_fts.weight in it"),
        (
            "edge_convs.1.bns.2.running_var",
            r"the key edge_convs\.1\.bns\.2\.running_var is missing",
        ),
        ("edge_convs.0.convs.1.weight", r"edge_convs\.0\.convs\.1\.weight"),
        ("fc.1.weight", r"there is no fc\.1\.weight in it"),
    ],
)
def test_a_missing_key_is_named(key, message, save):
    state = without_prefix(golden()[0])
    del state[key]
    with pytest.raises(InputError, match=message):
        read(save(state))


def test_an_unknown_key_is_named(save):
    state = golden()[0] | {"mod.fusion_block.0.weight": torch.ones(128, 448, 1)}
    with pytest.raises(InputError, match=r"fusion_block\.0\.weight belongs to no part"):
        read(save(state))


def test_a_shape_that_does_not_fit_is_named_with_the_one_that_would(save):
    state = golden()[0] | {"mod.edge_convs.1.convs.1.weight": torch.ones(12, 11, 1, 1)}
    with pytest.raises(
        InputError, match=r"convs\.1\.weight has the shape .*\(12, 12, 1, 1\) would"
    ):
        read(save(state))


def test_another_number_of_features_is_refused(save):
    with pytest.raises(InputError, match=r"reads 17 particle features .* choose features: full"):
        read(save(golden()[0]), features="kin")


def test_the_wrong_kind_of_network_is_refused(save):
    path = save(golden()[0])
    with pytest.raises(InputError, match=r'holds a ParticleNet, .* give model="particle_net"'):
        read_network(path, "full", "particle_transformer")
    path = save(weaver_golden("0.5.3")[0])
    with pytest.raises(
        InputError, match=r'a Particle Transformer, .* model="particle_transformer"'
    ):
        read_network(path, "kin", "particle_net")


def test_fine_tuning_renews_the_last_layer_alone_and_makes_it_learn_faster(save, tmp_path):
    path = save(golden()[0])
    directory = import_run(
        path, "full", tmp_path / "run", model="particle_net", classes=("a", "b", "c")
    )
    imported = load_run(directory)
    network = build_model(imported.config.model, "full", 2)
    init = InitOptions(path=str(directory), lr_multipliers={"head.*": 50})
    load_initial_weights(network, init)
    fresh = [
        name
        for name, value in imported.model.state_dict().items()
        if not torch.equal(value.flatten()[:3], network.state_dict()[name].flatten()[:3])
    ]
    assert fresh == ["head.weight", "head.bias"]
    groups = parameter_groups(network, 0.0, learning_rate_multipliers(network, init))
    fast = [p for group in groups if group["lr_multiplier"] == 50 for p in group["params"]]
    assert [tuple(p.shape) for p in fast] == [(2, 16), (2,)]


@pytest.mark.skipif(
    SHARED_DATA is None, reason="PARTTAG_SHARED_DATA does not say where the official weights are"
)
@pytest.mark.parametrize(
    ("features", "count"), [("kin", 368_216), ("kinpid", 369_380), ("full", 370_156)]
)
def test_official_weights_are_read(features, count):
    path = Path(SHARED_DATA or "") / "weights" / f"ParticleNet_{features}.pt"
    read_back = read(path, features=features)
    assert read_back.num_classes == 10
    assert read_back.options == ParticleNetOptions()
    assert sum(p.numel() for p in read_back.network.parameters()) == count


@pytest.mark.skipif(
    SHARED_DATA is None, reason="PARTTAG_SHARED_DATA does not say where the official weights are"
)
def test_official_weights_have_their_accuracy_on_the_reference_jets():
    data = Path(SHARED_DATA or "")
    network = read(data / "weights" / "ParticleNet_kin.pt", features="kin").network
    (jets,) = read_chunks(data / "jetclass" / "jetclass_kin_500.root")
    order = [jets.label_names.index(f"label_{name}") for name in KNOWN_CLASSES[10]]
    with torch.no_grad():
        logits = network(make_batch(jets, max_particles=128))
    right = logits.argmax(dim=1).numpy() == jets.labels[:, order].argmax(axis=1)
    assert right.mean() == pytest.approx(0.718, abs=0.005)
