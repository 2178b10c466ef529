"""Features of the jet beside the representation or beside every particle, in several networks."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from parttag.errors import InputError
from parttag.jets.batch import JetBatch, make_batch
from parttag.jets.column_features import ColumnFeature, ColumnName
from parttag.jets.columns import pack_columns
from parttag.jets.features import particle_features
from parttag.jets.jet_features import jet_features
from parttag.models import MODELS, build_model
from parttag.models.tagger import ModelOptions
from parttag.options import read_options
from parttag.testing import toy_jets
from parttag.testing.tolerances import FLOAT64_NETWORK

NETWORKS = {
    "pfn": {"particle_dims": [8], "jet_dims": [8]},
    "particle_net": {"edge_dims": [[8, 8]], "num_neighbours": 4, "jet_dims": [8]},
    "particle_transformer": {
        "embed_dims": [8, 16],
        "pair_dims": [8],
        "num_heads": 2,
        "num_layers": 2,
        "num_class_layers": 1,
    },
    "lorentz_net": {},
}
NAMES = tuple(
    ColumnName(ColumnFeature(column=column, centre=centre, scale=0.5), of_jet=True)
    for column, centre in (("log_pt", 6.0), ("softdrop", 80.0))
)


def jets():
    jets = toy_jets(lengths=[1, 7, 30, 0, 12], seed=3)
    softdrop = np.float16([80, 60, 90, 81, 79])
    packed, types = pack_columns({"softdrop": softdrop}, len(jets))
    return replace(jets, jet_columns=packed, jet_column_types=types)


def network(name: str, *, to: str = "representation"):
    torch.manual_seed(1)
    kind = MODELS[name].network
    options = read_options(kind.options_class, {"name": name, **NETWORKS[name]})
    assert isinstance(options, ModelOptions)
    features = ("log_pt", "log_energy", "delta_eta", "delta_phi", *NAMES)
    if to == "particles":
        return build_model(options, features, 2).double().eval()
    return build_model(options, features[:4], 2, NAMES).double().eval()


def float64(jets) -> JetBatch:
    return make_batch(jets).to("cpu", torch.float64)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_head_reads_the_features_beside_the_representation(name):
    model, batch = network(name), float64(jets())
    captured = []
    model.head.register_forward_pre_hook(lambda _module, inputs: captured.append(inputs[0]))
    logits = model(batch)
    encoded = captured[0]
    width = model.encoded_width
    assert encoded.shape == (5, width + 2)
    assert torch.equal(encoded[:, :width], model.encode(batch))
    px, py = jets().jet_p4[:, :2].astype(np.float64).T
    with np.errstate(divide="ignore"):
        log_pt = np.log(np.hypot(px, py))
    # A jet without particles has no pT: 0 stands for its logarithm.
    filled = (np.where(np.isfinite(log_pt), log_pt, 0) - 6) / 2
    expected = [np.clip(filled, -5, 5), np.clip((np.float64([80, 60, 90, 81, 79]) - 80) / 2, -5, 5)]
    torch.testing.assert_close(
        encoded[:, width:], torch.from_numpy(np.stack(expected, axis=1)), **FLOAT64_NETWORK
    )
    first = next(m for m in model.head.modules() if isinstance(m, torch.nn.Linear))
    with torch.no_grad():
        first.weight[:, width:] = 0
    without = model(batch)
    assert not torch.allclose(without, logits)
    torch.manual_seed(1)
    plain = build_model(
        read_options(type(model).options_class, {"name": name, **NETWORKS[name]}),
        model.feature_names,
        2,
    ).double()
    torch.testing.assert_close(without, plain.eval()(batch), **FLOAT64_NETWORK)


@pytest.mark.parametrize("to", ["representation", "particles"])
@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "lorentz_net"])
def test_padding_order_and_other_jets_change_nothing(name, to):
    model, some = network(name, to=to), jets()
    logits = model(float64(some))
    rng = np.random.default_rng(0)
    order = np.concatenate(
        [s + rng.permutation(n) for s, n in zip(some.offsets, some.lengths, strict=False)]
    )
    permuted = replace(some, p4=some.p4[order], extra=some.extra[order])
    torch.testing.assert_close(model(float64(permuted)), logits, **FLOAT64_NETWORK)
    alone = torch.cat([model(float64(some.span(b, b + 1))) for b in range(len(some))])
    torch.testing.assert_close(alone, logits, **FLOAT64_NETWORK)
    batch = float64(some)
    junk = torch.full((3, 4), torch.nan, dtype=torch.float64)
    longer = replace(
        batch,
        p4=torch.cat([batch.p4, junk]),
        extra=torch.cat([batch.extra, junk[:, :1].expand(-1, batch.extra.shape[1])]),
    )
    torch.testing.assert_close(model(longer), logits, **FLOAT64_NETWORK)


def test_beside_particles_every_particle_has_those_of_its_jet():
    batch = float64(jets())
    values = particle_features(batch, ["log_pt", *NAMES])[:, 1:]
    jet = torch.from_numpy(np.repeat(np.arange(5), jets().lengths))
    assert torch.equal(values, jet_features(batch, NAMES)[jet])


@pytest.mark.parametrize("name", ["omnijet"])
def test_networks_with_logits_of_their_own_refuse(name):
    with pytest.raises(InputError, match=f"jet_features: {name} has no place for them"):
        MODELS[name].network.refuse_jet_features()
