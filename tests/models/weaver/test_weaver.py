"""Weights of weaver-core, against logits that weaver-core itself gave for the same jets."""

from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.weaver import weaver_golden, without_prefix
from parttag.errors import InputError
from parttag.jets.batch import JetBatch
from parttag.models.weaver import read_network, read_state_dict

VERSIONS = ("0.4.17", "0.5.3")

# weaver 0.4 computes a particle's rapidity and azimuth anew for every pair, in vector lanes that
# need not round alike: with the very same weights and features it is off by 1e-5.
TOLERANCE = {"atol": 5e-5, "rtol": 0}


@pytest.fixture
def save(tmp_path):
    """Write a state dict, as weaver does, and return its path."""

    def write(content: object) -> Path:
        path = tmp_path / "weights.pt"
        torch.save(content, path)
        return path

    return write


@torch.no_grad()
def logits(path: Path, batch: JetBatch) -> torch.Tensor:
    return read_network(path, "kin").network(batch)


# ------------------------------------------------------------------------------------- the outputs


@pytest.mark.parametrize("version", VERSIONS)
def test_logits_are_those_of_the_weaver_that_wrote_the_weights(version, save):
    state, batch, expected = weaver_golden(version)
    assert expected.std(dim=0).min() > 0.05  # the jets differ: an agreement says something
    torch.testing.assert_close(logits(save(state), batch), expected, **TOLERANCE)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_prefix_of_the_keys_makes_no_difference(version, save):
    state, batch, _ = weaver_golden(version)
    with_prefix = logits(save(state), batch)
    assert torch.equal(logits(save(without_prefix(state)), batch), with_prefix)


def test_a_head_outside_the_wrapped_network_is_read(save):
    # weaver's fine-tuning puts a new head beside the network that it wraps.
    state, batch, expected = weaver_golden("0.4.17")
    finetuned = {key.replace("mod.fc.", "fc."): value for key, value in state.items()}
    torch.testing.assert_close(logits(save(finetuned), batch), expected, **TOLERANCE)


def test_the_keys_decide_on_the_meaning_of_c_attn(save):
    state, batch, expected = weaver_golden("0.4.17")
    renamed = {key.replace("in_proj_", "in_proj."): value for key, value in state.items()}
    assert (logits(save(renamed), batch) - expected).abs().max() > 0.05


def test_transposed_heads_are_those_of_the_published_formula(save):
    state, _, _ = weaver_golden("0.4.17")
    block = read_network(save(state), "kin").network.backbone.blocks[0]
    attended = torch.randn(5, 16, generator=torch.Generator().manual_seed(0))
    key = "mod.blocks.0.attn.out_proj"
    projected = attended @ state[f"{key}.weight"].T + state[f"{key}.bias"]
    scaled = torch.einsum("bhd,h->bdh", projected.view(5, 2, 8), state["mod.blocks.0.c_attn"])
    ours = block.out(attended).view(5, 2, 8) * block.head_scale[:, None]
    torch.testing.assert_close(ours.flatten(1), scaled.flatten(1), atol=1e-6, rtol=1e-6)


# --------------------------------------------------------------------------------------- the sizes


def test_sizes_are_read_from_the_shapes(save):
    state, _, _ = weaver_golden("0.5.3")
    read = read_network(save(state), "kin")
    assert read.num_classes == 3
    assert read.written_by == "weaver-core 0.5 or later"
    assert read.options.embed_dims == (16, 32, 16)
    assert read.options.pair_dims == (8, 8)
    assert read.options.num_heads == 2
    assert (read.options.num_layers, read.options.num_class_layers) == (2, 1)
    assert read.options.feedforward_factor == 4


def test_the_network_is_ready_to_train_and_to_be_saved(save):
    state, batch, _ = weaver_golden("0.4.17")
    read = read_network(save(state), "kin")
    assert not read.network.training
    assert all(p.requires_grad and p.dtype == torch.float32 for p in read.network.parameters())
    read.network.train()(batch).sum().backward()
    assert all(p.grad is not None for p in read.network.parameters())
    assert (
        read.network.state_dict().keys()
        == type(read.network)(read.options, read.network.feature_names, 3).state_dict().keys()
    )


def test_reading_draws_no_random_number(save):
    path = save(weaver_golden("0.5.3")[0])
    before = torch.get_rng_state()
    read_network(path, "kin")
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("features", "advice"), [("full", "kin"), (("log_pt",), "kin")])
def test_another_number_of_features_is_refused(features, advice, save):
    path = save(weaver_golden("0.5.3")[0])
    with pytest.raises(InputError, match=f"reads 7 particle features .* choose features: {advice}"):
        read_network(path, features)


# ----------------------------------------------------------------------------- what is not weights


class Malicious:
    """What unpickling turns into a call of any function."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_code_in_a_file_is_refused_and_not_run(save, tmp_path):
    state, _, _ = weaver_golden("0.5.3")
    trace = tmp_path / "executed"
    path = save({**state, "mod.evil": Malicious(trace)})
    with pytest.raises(InputError, match=r"weights\.pt holds code or objects .* is refused"):
        read_network(path, "kin")
    assert not trace.exists()
    torch.load(path, weights_only=False)
    assert trace.exists()  # the file would have done it


def test_a_network_instead_of_its_state_dict_is_refused(save):
    with pytest.raises(InputError, match=r"save the state_dict\(\) of the network alone"):
        read_state_dict(save(torch.nn.Linear(2, 2)))


def test_a_flipped_bit_is_found(save):
    state, _, _ = weaver_golden("0.5.3")
    path = save(state)
    content = bytearray(path.read_bytes())
    start = content.find(state["mod.norm.weight"].numpy().tobytes())
    assert start > 0
    content[start] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"weights\.pt is damaged, in its part"):
        read_state_dict(path)


@pytest.mark.parametrize("size", [0, 1, 1000, -1])
def test_a_cut_file_is_refused(size, save):
    path = save(weaver_golden("0.5.3")[0])
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(InputError, match=r"weights\.pt is damaged, or no file that torch\.save"):
        read_state_dict(path)


def test_a_zip_of_something_else_is_refused(tmp_path):
    path = tmp_path / "arrays.npz"
    np.savez(path, a=np.zeros(3))
    with pytest.raises(InputError, match=r"arrays\.npz is no file that torch\.save made"):
        read_state_dict(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"absent\.pt: there is no such file"):
        read_state_dict(tmp_path / "absent.pt")


def test_a_directory_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        read_state_dict(tmp_path)


def test_a_list_is_no_state_dict(save):
    with pytest.raises(InputError, match="holds a list, not a state dict"):
        read_state_dict(save([1, 2]))


def test_a_value_that_is_no_tensor_is_named(save):
    with pytest.raises(InputError, match="'epoch' is not a named tensor"):
        read_state_dict(save({"epoch": 3}))


def test_weights_that_are_not_finite_are_named(save):
    with pytest.raises(InputError, match=r"mod\.fc\.0\.bias has NaN or infinity"):
        read_state_dict(save({"mod.fc.0.bias": torch.tensor([0.0, torch.nan])}))


def test_a_key_with_and_without_prefix_is_refused(save):
    with pytest.raises(InputError, match="has norm twice"):
        read_state_dict(save({"mod.norm": torch.zeros(1), "norm": torch.zeros(1)}))


# ----------------------------------------------------------------------------- weights that misfit


@pytest.mark.parametrize(
    "key", ["cls_token", "blocks.1.attn.out_proj.bias", "pair_embed.embed.5.running_var"]
)
def test_a_missing_key_is_named(key, save):
    state = without_prefix(weaver_golden("0.5.3")[0])
    del state[key]
    with pytest.raises(InputError, match=f"the key {key} is missing"):
        read_network(save(state), "kin")


def test_weights_of_another_network_are_told_by_the_first_key(save):
    state = {"mod.bn_fts.weight": torch.ones(7), "mod.fc.1.weight": torch.ones(2, 256)}
    with pytest.raises(InputError, match=r"there is no embed\.input_bn\.weight in it"):
        read_network(save(state), "kin")


def test_an_unknown_key_is_named(save):
    state = {**weaver_golden("0.5.3")[0], "mod.blocks.0.extra.gamma": torch.ones(16)}
    with pytest.raises(InputError, match=r"blocks\.0\.extra\.gamma belongs to no part"):
        read_network(save(state), "kin")


@pytest.mark.parametrize(
    ("key", "shape", "fitting"),
    [
        ("cls_token", (16,), r"\(1, 1, 16\)"),
        ("blocks.1.fc2.weight", (16, 63), r"\(16, 64\)"),
        ("pair_embed.embed.1.weight", (8, 4), r"\(8, 4, 1\)"),
        ("cls_blocks.0.c_attn", (3,), r"\(2,\)"),
    ],
)
def test_a_shape_that_does_not_fit_is_named_with_the_one_that_would(key, shape, fitting, save):
    state = {**without_prefix(weaver_golden("0.5.3")[0]), key: torch.ones(shape)}
    with pytest.raises(InputError, match=f"{key} has the shape .*{fitting} would fit"):
        read_network(save(state), "kin")


def test_heads_that_do_not_divide_the_width_are_refused(save):
    state = {**without_prefix(weaver_golden("0.5.3")[0]), "blocks.0.c_attn": torch.ones(3)}
    with pytest.raises(InputError, match=r"make no Particle Transformer .* multiple of num_heads"):
        read_network(save(state), "kin")
