import pytest
import torch
from torch import nn

from helpers.networks import SMALL, small_network
from parttag.errors import InputError
from parttag.models import build_model
from parttag.models.layers.batch_norm import PackedBatchNorm
from parttag.models.particle_transformer import ParticleTransformerOptions
from parttag.models.pfn import PFNOptions
from parttag.testing import toy_batch
from parttag.training.checkpoint import describe_network, write_checkpoint
from parttag.training.transfer import (
    InitOptions,
    freeze_parameters,
    learning_rate_multipliers,
    load_initial_weights,
)

OPTIONS = PFNOptions(particle_dims=(8,), jet_dims=(8,))


def _save(model, path, classes=10):
    names = tuple(map(str, range(classes)))
    write_checkpoint(path, {"weights": model.state_dict(), **describe_network(model, {}, names)})
    return str(path)


def test_the_backbone_is_loaded_and_the_head_stays_fresh(tmp_path):
    trained = build_model(OPTIONS, "kin", 10)
    model = build_model(OPTIONS, "kin", 2)
    head = {name: value.clone() for name, value in model.head.state_dict().items()}
    load_initial_weights(model, InitOptions(path=_save(trained, tmp_path / "best.pt")))
    for name, value in model.backbone.state_dict().items():
        assert torch.equal(value, trained.backbone.state_dict()[name])
    for name, value in model.head.state_dict().items():
        assert torch.equal(value, head[name])


def test_all_weights_are_loaded_from_the_best_checkpoint_of_a_run(tmp_path):
    trained = build_model(OPTIONS, "kin", 2)
    (tmp_path / "checkpoints").mkdir()
    _save(trained, tmp_path / "checkpoints" / "best.pt", classes=2)
    model = build_model(OPTIONS, "kin", 2)
    load_initial_weights(model, InitOptions(path=str(tmp_path), load="all"))
    for name, value in model.state_dict().items():
        assert torch.equal(value, trained.state_dict()[name])


@pytest.mark.parametrize("trim", [True, False])
def test_the_trimmer_starts_anew_whether_or_not_the_other_run_trimmed(tmp_path, trim):
    small = {"embed_dims": (8,), "pair_dims": (4,), "num_heads": 2}
    small |= {"num_layers": 1, "num_class_layers": 1}
    trained = build_model(ParticleTransformerOptions(**small, trim=trim), "kin", 10)
    if trim:
        trained.backbone.trimmer.num_calls = 1000
    model = build_model(ParticleTransformerOptions(**small, trim=True), "kin", 2)
    load_initial_weights(model, InitOptions(path=_save(trained, tmp_path / "best.pt")))
    assert model.backbone.trimmer.num_calls == 0
    assert torch.equal(model.backbone.class_token, trained.backbone.class_token)


def test_weights_of_another_network_or_other_features_are_refused(tmp_path):
    path = _save(build_model(OPTIONS, "kin", 10), tmp_path / "best.pt")
    with pytest.raises(InputError, match=r"init_from\.path: .* was trained on the features"):
        load_initial_weights(build_model(OPTIONS, "kinpid", 2), InitOptions(path=path))
    wider = build_model(PFNOptions(particle_dims=(16,), jet_dims=(8,)), "kin", 2)
    with pytest.raises(InputError, match=r"another network: its backbone\.0\.weight is \(8, 7\)"):
        load_initial_weights(wider, InitOptions(path=path))
    same = build_model(OPTIONS, "kin", 2)
    with pytest.raises(InputError, match=r"another network: its head\.2\.weight is \(10, 8\)"):
        load_initial_weights(same, InitOptions(path=path, load="all"))
    with pytest.raises(InputError, match="there is no such checkpoint"):
        load_initial_weights(same, InitOptions(path=str(tmp_path / "none")))


def _describe(model, classes=("top", "QCD"), **options):
    config = {"model": {"name": "pfn", "particle_dims": [8], **options}}
    return describe_network(model, config, classes)


def test_weights_that_fit_but_mean_something_else_are_noticed(tmp_path, caplog):
    model = build_model(OPTIONS, "kin", 2)
    path = tmp_path / "best.pt"
    write_checkpoint(path, {"weights": model.state_dict(), **_describe(model, max_particles=9)})
    init, tokens = InitOptions(path=str(path)), {"tokenizer": {"frame": "jet", "dropout": 0.1}}

    load_initial_weights(model, init, _describe(model, max_particles=9, dropout=0.3, new=1))
    assert not caplog.records
    load_initial_weights(model, init, _describe(model, max_particles=7))
    assert "has model.max_particles 9, this configuration has 7" in caplog.text

    with pytest.raises(InputError, match=r"has model\.name pfn, this configuration has mpm; the"):
        load_initial_weights(model, init, _describe(model, name="mpm", max_particles=7))
    write_checkpoint(path, {"weights": model.state_dict(), **_describe(model, **tokens)})
    load_initial_weights(model, init, _describe(model, tokenizer={"frame": "jet", "dropout": 0}))
    with pytest.raises(InputError, match=r"has model\.tokenizer .*jet.*, this .*hardest"):
        load_initial_weights(model, init, _describe(model, tokenizer={"frame": "hardest"}))
    assert len(caplog.records) == 1


def test_a_head_is_not_loaded_for_the_same_classes_in_another_order(tmp_path):
    model = build_model(OPTIONS, "kin", 2)
    path = tmp_path / "best.pt"
    write_checkpoint(path, {"weights": model.state_dict(), **_describe(model)})
    turned, other = _describe(model, ("QCD", "top")), _describe(model, ("W", "QCD"))
    with pytest.raises(InputError, match="has the classes top, QCD in this order; give"):
        load_initial_weights(model, InitOptions(path=str(path), load="all"), turned)
    load_initial_weights(model, InitOptions(path=str(path), load="all"), other)
    load_initial_weights(model, InitOptions(path=str(path)), turned)


def test_the_backbone_of_a_run_on_another_objective_is_loaded(tmp_path):
    trained = build_model(OPTIONS, "kin", 1)
    trained.head = nn.ModuleDict({"projection": nn.Linear(8, 3), "tokens": nn.Embedding(5, 2)})
    path = tmp_path / "best.pt"
    write_checkpoint(path, {"weights": trained.state_dict(), **describe_network(trained, {}, ())})
    model = build_model(OPTIONS, "kin", 2)
    load_initial_weights(model, InitOptions(path=str(path)))
    for name, value in model.backbone.state_dict().items():
        assert torch.equal(value, trained.backbone.state_dict()[name])
    with pytest.raises(InputError, match=r"its head\.0\.weight is absent, the configuration's is"):
        load_initial_weights(model, InitOptions(path=str(path), load="all"))


def test_of_patterns_for_the_learning_rate_the_first_that_fits_counts():
    model = build_model(OPTIONS, "kin", 2)
    patterns = {"*.bias": 2, "head.2.*": 50, "head.*": 5, "backbone.0.weight": 0.1}
    multipliers = learning_rate_multipliers(model, InitOptions(path="", lr_multipliers=patterns))
    assert multipliers == {
        "backbone.0.weight": 0.1,
        "backbone.0.bias": 2,
        "head.0.weight": 5,
        "head.0.bias": 2,
        "head.2.weight": 50,
        "head.2.bias": 2,
    }


def test_a_pattern_that_fits_nothing_is_refused_with_the_nearest_name():
    model = build_model(OPTIONS, "kin", 2)
    with pytest.raises(InputError, match=r"lr_multipliers: 'heads\.0\.\*' fits the name of no"):
        learning_rate_multipliers(model, InitOptions(path="", lr_multipliers={"heads.0.*": 2}))
    with pytest.raises(InputError, match=r"freeze: 'backbone\.1\.bias' .* is backbone\.0\.bias"):
        freeze_parameters(model, InitOptions(path="", freeze=["head.*", "backbone.1.bias"]))
    with pytest.raises(InputError, match=r"init_from\.freeze leaves nothing to train"):
        freeze_parameters(model, InitOptions(path="", freeze="*"))


def test_what_is_frozen_whole_stays_in_evaluation_whatever_else_is_trained():
    network = small_network("particle_transformer", "kin", 2, dropout=0.5)
    freeze_parameters(
        network, InitOptions(path="", freeze=["backbone.blocks.0.*", "*.norm.weight"])
    )
    network.train()
    frozen, trained = network.backbone.blocks[0], network.backbone.blocks[1]
    assert not any(module.training for module in frozen.modules())
    # Of this block one parameter at most is frozen, and a dropout has none.
    assert trained.training
    assert all(m.training for m in trained.modules() if isinstance(m, nn.Dropout))
    assert network.head.training
    network.eval().train()
    assert not frozen.training


def test_frozen_batch_norms_keep_their_statistics():
    network = small_network("particle_net", "kin", 2)
    freeze_parameters(network, InitOptions(path="", freeze="backbone.*"))
    before = {name: value.clone() for name, value in network.backbone.state_dict().items()}
    batch = toy_batch(8)
    network.train()
    one, other = (network.encode(batch) for _ in range(2))
    assert torch.equal(one, other)
    assert all(torch.equal(value, before[n]) for n, value in network.backbone.state_dict().items())


@pytest.mark.parametrize("name", ["particle_net", "particle_transformer", "lorentz_net", "pcnn"])
def test_frozen_batch_norms_keep_their_statistics_while_their_neighbors_are_trained(name):
    network, batch = small_network(name, "kin", 2, dropout=0.0), toy_batch(8)
    network.train()(batch)  # statistics unlike those of a batch
    norms = {n: m for n, m in network.named_modules() if isinstance(m, PackedBatchNorm)}
    freeze_parameters(network, InitOptions(path="", freeze=[f"{n}.*" for n in norms]))
    before = {n: m.running_mean.clone() for n, m in norms.items()}
    evaluated = network.eval()(batch)
    trained = network.train()(batch)
    torch.testing.assert_close(trained, evaluated, rtol=1e-4, atol=1e-5)
    trained.sum().backward()
    without = {n for n, p in network.named_parameters() if p.grad is None}
    assert without == {f"{n}.{kind}" for n in norms for kind in ("weight", "bias")}
    assert all(norms[n].running_mean.equal(mean) for n, mean in before.items())


@pytest.mark.parametrize("name", SMALL)
def test_freezing_a_part_does_not_change_the_gradient_of_the_rest(name):
    batch = toy_batch(6, lengths=[1, 7, 20, 33, 4, 12])

    def gradients(freeze=(), *, train=False):
        network = small_network(name, "kin", 2)
        freeze_parameters(network, InitOptions(path="", freeze=freeze))
        torch.manual_seed(1)
        network.train(train)(batch).square().sum().backward()
        return {n: p.grad for n, p in network.named_parameters() if p.grad is not None}

    names = list(gradients())
    # With their biases trained, norms go on gathering statistics.
    for freeze, train in (
        (["head.*"], False),
        (["backbone.*"], False),
        (names[: len(names) // 2], False),
        (["*.weight"], True),
    ):
        whole, left = gradients(train=train), gradients(freeze, train=train)
        assert 0 < len(left) < len(whole)
        for n, gradient in left.items():
            torch.testing.assert_close(gradient, whole[n], rtol=1e-3, atol=1e-4)


def test_rates_fall_with_depth_from_the_head():
    model = small_network("particle_transformer", "kin", 2, num_layers=2, num_class_layers=1)
    options = InitOptions(
        path="", layer_decay=0.5, lr_multipliers={"head.*": 10, "backbone.norm.*": 4}
    )
    found = learning_rate_multipliers(model, options)
    # From the particles on: embedding, pair network, two particle blocks, a class block, a norm.
    depths = {
        "embedding": 6, "pair_network": 5, "blocks.0": 4, "blocks.1": 3, "class_blocks.0": 2,
        "norm": 1, "class_token": 6,
    }  # fmt: skip
    for name, _ in model.named_parameters():
        if name.startswith("head."):
            assert found[name] == 10
            continue
        depth = next(d for part, d in depths.items() if name.startswith(f"backbone.{part}"))
        assert found[name] == 0.5**depth * (4 if ".norm." in name and depth == 1 else 1)
    even = learning_rate_multipliers(model, InitOptions(path="", layer_decay=1.0))
    assert set(even.values()) == {1.0}
    plain = learning_rate_multipliers(
        build_model(OPTIONS, "kin", 2), options.model_copy(update={"lr_multipliers": {}})
    )
    assert plain == {
        "backbone.0.weight": 0.5, "backbone.0.bias": 0.5,
    }  # fmt: skip


def test_multipliers_of_a_whole_training_and_those_of_its_start_are_multiplied():
    model = build_model(OPTIONS, "kin", 2)
    of_all = {"head.2.*": 3.0, "head.*": 2.0}
    assert learning_rate_multipliers(model, None, of_all) == {
        "head.0.weight": 2, "head.0.bias": 2, "head.2.weight": 3, "head.2.bias": 3
    }  # fmt: skip
    options = InitOptions(path="", lr_multipliers={"head.2.weight": 5, "backbone.*": 0.5})
    assert learning_rate_multipliers(model, options, of_all) == {
        "head.0.weight": 2, "head.0.bias": 2, "head.2.weight": 15, "head.2.bias": 3,
        "backbone.0.weight": 0.5, "backbone.0.bias": 0.5,
    }  # fmt: skip
    with pytest.raises(InputError, match=r"optimizer\.lr_multipliers: 'tail' fits the name of no"):
        learning_rate_multipliers(model, None, {"tail": 2.0})
