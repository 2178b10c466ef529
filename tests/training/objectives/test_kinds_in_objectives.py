"""Pre-training on several kinds of particles, one of them without four-momenta."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.kinds import kind_jets
from parttag.jets.batch import make_batch
from parttag.jets.column_features import ColumnFeature
from parttag.jets.feature_lists import resolved_features
from parttag.jets.kinds import KIND_COLUMN
from parttag.models import build_model
from parttag.models.encoder_decoder import EncoderDecoderOptions
from parttag.models.particle_transformer import ParticleTransformerOptions
from parttag.models.pfn import PFNOptions
from parttag.training.objectives import OBJECTIVES, build_objective
from parttag.training.objectives.contrastive import ContrastiveOptions
from parttag.training.objectives.encoder_decoder import EncodeDecodeOptions
from parttag.training.objectives.masked import MaskedOptions

KINDS = (("charged", True), ("neutral", True), ("vertices", False))
D3D = ColumnFeature(column="d3d", centre=0.0, scale=0.2)
IP3D = ColumnFeature(column="ip3d", centre=0.0, scale=1.0)
PUPPI = ColumnFeature(column="puppi", centre=0.5, scale=1.0)
KIND = ColumnFeature(column="kind", centre=0.0, scale=1.0)
FEATURES = resolved_features(
    {"charged": ["kin", IP3D], "neutral": "kin", "vertices": [D3D, PUPPI, KIND]}
)
TOKENIZER = {"num_codes": 12, "width": 16, "hidden_dim": 16, "num_layers": 1, "num_heads": 4}
SIZES = {"embed_dims": (8,), "num_heads": 2, "num_layers": 1, "pair_bias": False, "dropout": 0.0}
HEAD = {"width": 16, "dense_dim": 12, "num_heads": 4, "tokenizer": TOKENIZER}


def batch(seed=4):
    return make_batch(kind_jets(seed=seed, kinds=KINDS)).to("cpu", torch.float64)


def are_vertices(of) -> np.ndarray:
    return of.particle_column(KIND_COLUMN).numpy() == 2


def trained(options, network_options):
    torch.manual_seed(0)
    network = build_model(network_options, FEATURES, 2)
    objective = build_objective(options, network)
    return network.double().train(), objective


@pytest.mark.parametrize("target", ["tokens", "features"])
def test_masked_hides_and_predicts_only_particles_with_momenta(target):
    options = MaskedOptions(**HEAD, target=target)
    network, objective = trained(options, ParticleTransformerOptions(**SIZES))
    seen = []
    network.head.register_forward_hook(lambda _, args, out: seen.append((args[2], out.detach())))
    jets = batch()
    torch.manual_seed(1)
    sums = objective(network, jets)
    sums.loss.backward()
    assert not [n for n, p in network.backbone.embedding.named_parameters() if p.grad is None]
    hidden, predicted = seen[0]
    vertices = are_vertices(jets)
    assert vertices.sum() == 5
    assert not (hidden & vertices).any()
    jet = np.repeat(np.arange(len(jets)), jets.lengths)
    number = np.bincount(jet[~vertices], minlength=len(jets))
    expected = np.maximum(np.floor(0.3 * number + 1e-9), number >= 2)
    assert np.bincount(jet[hidden], minlength=len(jets)).tolist() == expected.tolist()

    # Neither momenta nor columns of what is hidden reach a prediction; those of vertices do.
    def others(rows):
        columns = jets.columns.clone()
        columns[rows, :-1] = columns[rows, :-1].roll(1, dims=0) ^ 1
        p4 = jets.p4.clone()
        p4[rows] *= 0.9
        torch.manual_seed(1)
        objective(deepcopy(network), replace(jets, p4=p4, columns=columns))
        return seen[-1][1]

    torch.testing.assert_close(others(torch.from_numpy(hidden)), predicted, rtol=0, atol=0)
    assert not torch.equal(others(torch.from_numpy(vertices)), predicted)


def test_codes_are_those_of_jets_without_what_has_no_momenta():
    network, objective = trained(MaskedOptions(**HEAD), ParticleTransformerOptions(**SIZES))
    jets = batch()
    whole = jets.keep_particles(~are_vertices(jets))
    codes, seen = network.head.tokenizer.codes, []

    def watched(of):
        seen.append(codes(of))
        return seen[-1]

    network.head.tokenizer.codes = watched
    for of in (jets, whole):
        torch.manual_seed(1)
        objective(network, of)
    assert len(seen[0]) == whole.num_particles
    assert torch.equal(seen[0], seen[1])


def test_the_encoder_decoder_writes_only_particles_with_momenta():
    sizes = {"embed_dim": 8, "num_heads": 2, "num_encoder_layers": 1, "num_decoder_layers": 1}
    options = EncoderDecoderOptions(**sizes, feedforward_dim=8)
    network, objective = trained(EncodeDecodeOptions(), options)
    read, written = [], []
    own = network.write

    def write(memory, memory_lengths, entries, lengths):
        read.append(memory_lengths)
        written.append(lengths)
        return own(memory, memory_lengths, entries, lengths)

    network.write = write
    jets = batch()
    objective(network, jets).loss.backward()
    jet = np.repeat(np.arange(len(jets)), jets.lengths)
    with_momenta = np.bincount(jet[~are_vertices(jets)], minlength=len(jets))
    assert written[0].tolist() == np.maximum(with_momenta // 2, with_momenta >= 2).tolist()
    assert (read[0] + written[0]).tolist() == jets.lengths.tolist()


def test_views_are_of_particles_with_momenta():
    network, objective = trained(
        ContrastiveOptions(), PFNOptions(particle_dims=(8,), jet_dims=(8,))
    )
    jets, seen = batch(), []
    network.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    objective(network, jets).loss.backward()
    assert len(seen[0]) == 2 * len(jets)
    assert not are_vertices(seen[0]).any()
    without = jets.keep_particles(~are_vertices(jets))
    assert seen[0].lengths[: len(jets)].tolist() == without.lengths.tolist()
    assert not [n for n, p in network.named_parameters() if p.grad is None]


def test_what_is_left_out_is_said():
    said = OBJECTIVES["masked"].what_is_left_out(KINDS)
    assert said == (
        "objective masked hides and predicts charged, neutral; without four-momenta, vertices are "
        "seen by the network only"
    )
    assert OBJECTIVES["contrastive"].what_is_left_out(KINDS).endswith("not seen by the network")
    assert OBJECTIVES["classify"].what_is_left_out(KINDS) is None
    assert OBJECTIVES["masked"].what_is_left_out((("charged", True),)) is None
