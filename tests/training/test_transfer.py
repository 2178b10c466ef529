import pytest
import torch

from parttag.errors import InputError
from parttag.models import build_model
from parttag.models.particle_transformer import ParticleTransformerOptions
from parttag.models.pfn import PFNOptions
from parttag.training.checkpoint import describe_network, write_checkpoint
from parttag.training.transfer import InitOptions, load_initial_weights

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
