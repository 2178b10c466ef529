"""What batch norms of loaded weights normalize with: ``init_from.batch_norms``."""

import numpy as np
import pytest
import torch

from helpers.networks import SMALL, small_network
from helpers.runs import toy_config
from parttag.data.loading.dataset import open_dataset
from parttag.data.loading.loader import JetLoader
from parttag.errors import InputError
from parttag.models.layers.batch_norm import PackedBatchNorm
from parttag.runs.run import load_run
from parttag.runs.train import train_run
from parttag.testing import toy_batch
from parttag.training.batch_norm_statistics import adapt_batch_norms
from parttag.training.checkpoint import describe_network, write_checkpoint
from parttag.training.distributed import Ranks
from parttag.training.transfer import InitOptions, batch_norms, freeze_parameters

ADAPTED = InitOptions(path="", batch_norms="adapted")
# One with edges, one with pairs, one whose norm is computed from sums, one over positions.
NETWORKS = ("particle_net", "particle_transformer", "lorentz_net", "pcnn")


@pytest.fixture(scope="module")
def loader(tmp_path_factory):
    folder = tmp_path_factory.mktemp("jets")
    config = toy_config(folder)
    jets = open_dataset([folder / "train.h5"], dict(config.data.classes))
    return JetLoader(jets, 60, shuffle=False, seed=0)


def network_of_other_jets(name):
    """Return a network in double precision whose statistics are of something else."""
    model = small_network(name, "kin", 2).double().eval()
    torch.manual_seed(3)
    for norm in batch_norms(model):
        norm.running_mean += torch.rand_like(norm.running_mean)
        norm.running_var *= 1 + torch.rand_like(norm.running_var)
    return model


@pytest.mark.parametrize("name", NETWORKS)
def test_an_adapted_network_is_the_same_and_its_statistics_are_those_of_the_jets(name, loader):
    model = network_of_other_jets(name)
    batch = next(loader.epoch(0)).to(torch.device("cpu"), torch.float64)
    with torch.no_grad():
        before = model(batch)
    adapt_batch_norms(model, ADAPTED, loader, Ranks())
    with torch.no_grad():
        torch.testing.assert_close(model(batch), before, rtol=1e-9, atol=1e-9)
    adapted = [norm.running_mean.clone() for norm in batch_norms(model)]
    for norm, mean in zip(batch_norms(model), adapted, strict=True):
        norm.train()  # alone: what it then sees in this one batch is what was to be measured
        norm.momentum = 1.0
        with torch.no_grad():
            model.encode(batch)
        torch.testing.assert_close(norm.running_mean, mean, rtol=1e-9, atol=1e-12)
        norm.eval()


def test_the_input_norm_has_the_mean_and_the_variance_of_all_batches(loader):
    model = network_of_other_jets("particle_net")
    batches = [b.to(torch.device("cpu"), torch.float64) for b in loader.epoch(0)]
    seen = []
    norm = model.backbone.input_norm
    hook = norm.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].numpy()))
    with torch.no_grad():
        for batch in batches:
            model.encode(batch)
    hook.remove()
    adapt_batch_norms(model, ADAPTED, loader, Ranks())
    expected = np.mean([rows.mean(axis=0) for rows in seen], axis=0)
    np.testing.assert_allclose(norm.running_mean.numpy(), expected, rtol=1e-9)
    expected = np.mean([rows.var(axis=0, ddof=1) for rows in seen], axis=0)
    np.testing.assert_allclose(norm.running_var.numpy(), expected, rtol=1e-9)
    assert norm.momentum == PackedBatchNorm(1).momentum


def test_frozen_norms_learn_nothing_while_the_layers_beside_them_do():
    model = small_network("particle_net", "kin", 2)
    freeze_parameters(model, InitOptions(path="", batch_norms="frozen"))
    model.train()
    norms = {id(p) for norm in batch_norms(model) for p in norm.parameters()}
    assert norms
    assert not any(norm.training for norm in batch_norms(model))
    for parameter in model.parameters():
        assert parameter.requires_grad == (id(parameter) not in norms)
    before = [norm.running_mean.clone() for norm in batch_norms(model)]
    model(toy_batch(6)).sum().backward()
    assert all(
        torch.equal(norm.running_mean, kept)
        for norm, kept in zip(batch_norms(model), before, strict=True)
    )
    adapted = small_network("particle_net", "kin", 2)
    freeze_parameters(adapted, InitOptions(path="", batch_norms="adapted"))
    assert all(parameter.requires_grad for parameter in adapted.parameters())


@pytest.mark.parametrize("how", ["frozen", "adapted"])
def test_a_network_without_batch_norms_is_refused(how):
    with pytest.raises(InputError, match=f"batch_norms is {how}, but this network has no batch no"):
        freeze_parameters(small_network("pfn"), InitOptions(path="", batch_norms=how))


@pytest.mark.parametrize("how", ["frozen", "adapted", "batch"])
def test_a_training_begins_with_its_norms_as_asked_for(how, tmp_path):
    """After one step at a rate of almost nothing, only what norms normalize with has changed."""
    model = {"name": "particle_net", **SMALL["particle_net"]}
    network = network_of_other_jets("particle_net").float()
    weights = {"weights": network.state_dict(), **describe_network(network, {}, ("a", "b"))}
    write_checkpoint(tmp_path / "weights.pt", weights)
    init = f"init_from={{path: {tmp_path / 'weights.pt'}, load: all, batch_norms: {how}}}"
    config = toy_config(
        tmp_path, init, "training.steps=1", "training.batch_size=60", "optimizer.lr=1e-9",
        "training.steps_per_epoch=1", model=model,
    )  # fmt: skip
    trained = load_run(train_run(config, tmp_path / "run")).model
    batch = toy_batch(8, seed=5)
    with torch.no_grad():
        difference = (trained(batch) - network(batch)).abs().max()
    moved = [
        float((one.running_mean - other.running_mean).abs().max())
        for one, other in zip(batch_norms(trained), batch_norms(network), strict=True)
    ]
    assert (max(moved) == 0) == (how == "frozen")
    # The same function, but where statistics of batches replace those that were loaded.
    assert (difference > 1e-3) == (how == "batch")
