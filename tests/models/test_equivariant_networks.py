"""L-GATr's and LLoCa's networks: counts, symmetry, and the packages' own on padded jets."""

import sys
from dataclasses import replace
from functools import partial

import pytest
import torch
from pydantic import ValidationError

from helpers.lorentz import random_lorentz
from helpers.networks import small_network
from parttag.errors import InputError
from parttag.models import MODELS, build_model
from parttag.models.layers.local_frames import kinematic_features, polar_frames
from parttag.models.layers.reference_vectors import boosted, make_nodes, make_references
from parttag.models.lgatr import head_of
from parttag.testing import toy_batch
from parttag.testing.tolerances import FLOAT64_NETWORK

LENGTHS = [12, 16, 40]
INVARIANT = {
    "lgatr_slim": {"scalars": "none"},
    "lgatr": {},
    "lgatr_of_beams": {"reference_vectors": "beams"},
    "lloca_transformer": {"frame_scalars": "none"},
    "lloca_transformer_of_equal_variance": {"frame_scalars": "none", "preserve_variance": True},
    "lloca_particle_transformer": {"frame_scalars": "none"},
}
WITHOUT = {
    "lgatr_slim": {"scalars": "none", "reference_vectors": "none"},
    "lgatr": {"reference_vectors": "none"},
}


@pytest.fixture(scope="module")
def batch():
    return toy_batch(lengths=LENGTHS, seed=3).to("cpu", torch.float64)


@pytest.fixture(scope="module")
def small_jets():
    return toy_batch(lengths=[1, 2, 1, 5, 0], seed=4).to("cpu", torch.float64)


def network_of(name, options, dtype=torch.float64):
    return small_network(name.partition("_of_")[0], features="kin", **options).to(dtype).eval()


def references_of(network):
    backbone = network.backbone
    return backbone.frames if hasattr(backbone, "frames") else backbone


def moved_logits(network, batch, matrix, *, move_references):
    """Return the logits of the same jets, with or without the reference vectors, transformed."""
    transform, holder = torch.from_numpy(matrix.T), references_of(network)
    references = holder.references
    if move_references:
        holder.references = references.double() @ transform
    with torch.no_grad():
        logits = network(replace(batch, p4=batch.p4 @ transform))
    holder.references = references
    return logits


@pytest.mark.parametrize(
    ("name", "features", "num_parameters"),
    [
        ("lgatr", "kin", 1_076_930),
        ("lgatr_slim", "kin", 2_030_914),
        ("lloca_transformer", "kin", 1_603_845),
        ("lloca_particle_transformer", "kin", 2_160_081),
    ],
)
def test_the_published_networks_have_their_numbers_of_parameters(name, features, num_parameters):
    network = build_model(MODELS[name].network.options_class(), features, 2)
    assert sum(p.numel() for p in network.parameters()) == num_parameters


@pytest.mark.parametrize(("dtype", "most"), [(torch.float64, 1e-9), (torch.float32, 1e-5)])
@pytest.mark.parametrize("name", INVARIANT)
def test_logits_do_not_change_if_reference_vectors_are_moved_along(name, dtype, most, batch):
    network = network_of(name, INVARIANT[name], dtype)
    with torch.no_grad():
        expected = network(batch)
    scale = expected.abs().max().clamp(min=1)
    for seed in (1, 2):
        logits = moved_logits(network, batch, random_lorentz(seed), move_references=True)
        assert (logits - expected).abs().max() < most * scale
    alone = moved_logits(network, batch, random_lorentz(1), move_references=False)
    assert (alone - expected).abs().max() > 1e-4


@pytest.mark.parametrize(("dtype", "most"), [(torch.float64, 1e-9), (torch.float32, 1e-5)])
@pytest.mark.parametrize("name", WITHOUT)
def test_without_reference_vectors_logits_never_change(name, dtype, most, batch):
    network = network_of(name, WITHOUT[name], dtype)
    with torch.no_grad():
        expected = network(batch)
    logits = moved_logits(network, batch, random_lorentz(1), move_references=False)
    assert (logits - expected).abs().max() < most * expected.abs().max().clamp(min=1)


@pytest.mark.parametrize("name", INVARIANT)
def test_jets_of_few_particles_are_no_exception(name, small_jets):
    # Frames of a single particle among the reference vectors lose eight digits to rounding.
    most = 1e-6 if name.startswith("lloca") else 1e-9
    network = network_of(name, INVARIANT[name])
    with torch.no_grad():
        expected = network(small_jets)
    logits = moved_logits(network, small_jets, random_lorentz(1), move_references=True)
    assert (logits - expected).abs().max() < most * expected.abs().max()


@pytest.mark.parametrize("name", WITHOUT)
def test_neither_are_they_without_reference_vectors(name, small_jets):
    network = network_of(name, WITHOUT[name])
    with torch.no_grad():
        expected = network(small_jets)
    logits = moved_logits(network, small_jets, random_lorentz(1), move_references=False)
    assert (logits - expected).abs().max() < 1e-9 * expected.abs().max()


@pytest.mark.parametrize("name", ["lgatr_slim", "lloca_transformer"])
def test_features_of_the_laboratory_break_the_symmetry_as_published(name, batch):
    network = network_of(name, {})
    with torch.no_grad():
        expected = network(batch)
    logits = moved_logits(network, batch, random_lorentz(1), move_references=True)
    assert (logits - expected).abs().max() > 1e-3
    assert "not Lorentz invariant" in network.footnotes(MODELS[name].network.options_class())[0]


# Of each jet (E, px, py, pz) of its nodes, restated as in the authors' embedding of jets.
def nodes_of(p4, *, mass, references):
    p = p4[:, [3, 0, 1, 2]]
    if references == "beams":
        beams = [[1.0, 0, 0, 1], [1.0, 0, 0, -1], [1.0, 0, 0, 0]]
        p = torch.cat([torch.tensor(beams, dtype=p.dtype), p])
    if mass:
        square = p[:, 0] ** 2 - (p[:, 1:] ** 2).sum(dim=1)
        energy = ((p[:, 1:] ** 2).sum(dim=1) + mass**2).sqrt()
        p = torch.cat([torch.where(square < mass**2, energy, p[:, 0])[:, None], p[:, 1:]], dim=1)
    return p


def padded(parts):
    return torch.nn.utils.rnn.pad_sequence(parts, batch_first=True)


def jets_of(batch):
    return [batch.p4[a:b] for a, b in zip(batch.offsets[:-1], batch.offsets[1:], strict=True)]


def with_global_token(jets, features, num_references):
    """Return momenta in units of 20 GeV and scalars of padded jets, a blank node in front."""
    momenta, scalars = [], []
    for p, of_jet in zip(jets, features, strict=True):
        units = p.new_full((len(p), 1), 20.0)
        units[:num_references] = 1
        momenta.append(torch.cat([p.new_zeros(1, 4), p / units]))
        values = p.new_zeros(1 + len(p), of_jet.shape[1] + 1)
        values[0, -1] = 1
        values[1 + num_references :, :-1] = of_jet
        scalars.append(values)
    lengths = torch.tensor([len(m) for m in momenta])
    is_real = torch.arange(max(lengths)) < lengths[:, None]
    return padded(momenta), padded(scalars), is_real[:, None, None]


def test_l_gatr_slim_gives_the_logits_of_the_package_s_network(batch):
    import lgatr

    from parttag.jets.features import particle_features

    network = network_of("lgatr_slim", {})
    own = lgatr.LGATrSlim(2, 1, 0, 4, 8, 3, 8, 2, mlp_ratio=2).double().eval()
    weights = network.backbone.network.state_dict()
    own.linear_out.linear_s = network.head
    assert not own.load_state_dict(weights, strict=False).unexpected_keys
    features = particle_features(batch, "kin")
    features = [features[a:b] for a, b in zip(batch.offsets[:-1], batch.offsets[1:], strict=True)]
    jets = [nodes_of(p4, mass=5e-3, references="beams") for p4 in jets_of(batch)]
    momenta, scalars, is_real = with_global_token(jets, features, 3)
    with torch.no_grad():
        expected = own(momenta[:, :, None], scalars, attn_mask=is_real)[1][:, 0]
        torch.testing.assert_close(network(batch), expected, **FLOAT64_NETWORK)


def test_the_head_of_l_gatr_begins_as_the_last_layer_of_the_package_s_network():
    import lgatr
    from lgatr.layers.linear import EquiLinear

    layer = EquiLinear(4, 3, lgatr.PrimitivesConfig(), in_s_channels=8)
    multivectors, scalars = torch.randn(5, 4, 16), torch.randn(5, 8)
    parts = [multivectors[..., 0], multivectors[..., 15], scalars]
    expected = layer(multivectors, scalars)[0][..., 0]
    torch.testing.assert_close(head_of(layer)(torch.cat(parts, dim=1)), expected)


@pytest.mark.parametrize("references", ["plane", "beams", "none"])
def test_l_gatr_gives_the_logits_of_the_package_s_network(references, batch):
    import lgatr

    network = network_of("lgatr", {"reference_vectors": references})
    attention = {"num_heads": 2, "attn_ratio": 2, "head_scale": True}
    own = lgatr.LGATr(1, 1, 3, 4, 1, 0, 8, attention, {"mlp_ratio": 2}).double().eval()
    missing = own.load_state_dict(network.backbone.network.state_dict(), strict=False)
    assert not missing.unexpected_keys
    assert all(key.startswith("linear_out.") for key in missing.missing_keys)
    last = own.linear_out
    with torch.no_grad():
        of_multivectors, of_pseudoscalars, of_scalars = network.head.weight.split([4, 4, 8], dim=1)
        last.weight[..., 0], last.weight[..., 9] = of_multivectors, -of_pseudoscalars
        last.s2mvs.weight[::2], last.s2mvs.bias[::2] = of_scalars, network.head.bias
    jets = [nodes_of(p4, mass=0, references=references) for p4 in jets_of(batch)]
    blank = [p.new_zeros(len(p), 0) for p in jets_of(batch)]
    spurions = {
        "plane": lgatr.get_spurions("xyplane", add_time_spurion=True),
        "beams": lgatr.get_spurions("lightlike", add_time_spurion=True),
        "none": torch.zeros(0, 16),
    }[references].double()
    if references == "plane":  # its two nodes are multivectors
        jets = [torch.cat([p.new_zeros(2, 4), p]) for p in jets]
    momenta, scalars, is_real = with_global_token(jets, blank, len(spurions))
    multivectors = lgatr.embed_vector(momenta)
    multivectors[:, 1 : 1 + len(spurions)] = spurions
    with torch.no_grad():
        outputs, _ = own(multivectors[:, :, None], scalars, attn_mask=is_real)
        expected = lgatr.extract_scalar(outputs)[:, 0, :, 0]
        torch.testing.assert_close(network(batch), expected, **FLOAT64_NETWORK)


def own_frames(network, batch, *, rest_frame=True):
    """Return what the package's own prediction of frames gives: frames, momenta, and features."""
    from lloca import LearnedPDFrames, MLPVectors
    from lloca.utils.polar_decomposition import restframe_boost

    vectors = partial(MLPVectors, num_scalars=7, hidden_channels=16, num_layers_mlp=2)
    options = {"eps_norm": 1e-15, "eps_reg": 1e-16, "eps_reg_lightlike": 1e-16}
    frames = LearnedPDFrames(vectors, gamma_hardness=10, ortho_kwargs=options).double().eval()
    block = network.backbone.frames.vectors.block
    block.edge_inited.fill_(True)
    # With dropout the layers of the package are numbered otherwise.
    frames.equivectors.block.mlp.mlp = block.mlp.mlp
    frames.equivectors.block.edge_inited.fill_(True)
    jets = [nodes_of(p4, mass=5e-3, references="beams") for p4 in jets_of(batch)]
    if rest_frame:
        jets = [p @ restframe_boost(p.sum(dim=0)).t() for p in jets]
    scalars = []
    for p in jets:
        total = p.sum(dim=0)
        if rest_frame:
            total[1:] = 0
        features = published_features(p, total.expand_as(p))
        features[:3] = 0
        scalars.append(features)
    ptr = torch.tensor([0, *(len(p) for p in jets)]).cumsum(0)
    matrices = frames(torch.cat(jets), torch.cat(scalars), ptr=ptr).matrices
    parts = [part[3:] for part in matrices.split([len(p) for p in jets])]
    return parts, [p[3:] for p in jets]


def published_features(p, jet):
    """Restate the authors' seven features of (E, px, py, pz)."""

    def pt_phi_eta(v):
        pt = (v[:, 1] ** 2 + v[:, 2] ** 2).clip(1e-10).sqrt()
        x, y = (torch.where(v[:, i].abs() < 1e-10, 1e-10, v[:, i]) for i in (1, 2))
        z = v[:, 3] / (v[:, 1:] ** 2).sum(dim=1).clip(1e-10).sqrt()
        eta = 0.5 * ((1 + z).clip(1e-10).log() - (1 - z).clip(1e-10).log())
        return pt.log(), torch.arctan2(y, x), eta

    (pt, phi, eta), (jet_pt, jet_phi, jet_eta) = pt_phi_eta(p), pt_phi_eta(jet)
    energy, jet_energy = p[:, 0].clip(1e-10).log(), jet[:, 0].clip(1e-10).log()
    dphi = (phi - jet_phi + torch.pi) % (2 * torch.pi) - torch.pi
    deta = -(eta - jet_eta)
    dr = (dphi**2 + deta**2).clip(1e-10).sqrt()
    return torch.stack(
        [
            (pt - 1.7) * 0.7,
            (energy - 2.0) * 0.7,
            (pt - jet_pt + 4.7) * 0.7,
            (energy - jet_energy + 4.7) * 0.7,
            dphi,
            deta,
            (dr - 0.2) * 4,
        ],
        dim=1,
    )


def local_inputs(network, batch):
    """Return padded frames, local momenta and features, momenta of jets, and lengths."""
    matrices, jets = own_frames(network, batch)
    momenta, features, totals = [], [], []
    for frame, p in zip(matrices, jets, strict=True):
        total = p.sum(dim=0)
        momenta.append((frame @ p[..., None])[..., 0])
        features.append(published_features(momenta[-1], (frame @ total)))
        totals.append(total)
    eye = torch.eye(4, dtype=torch.float64)
    length = max(map(len, jets))
    frames = [torch.cat([m, eye.expand(length - len(m), 4, 4)]) for m in matrices]
    is_real = torch.arange(length) < torch.tensor([len(p) for p in jets])[:, None]
    return torch.stack(frames), padded(momenta), padded(features), torch.stack(totals), is_real


@pytest.mark.parametrize("preserve_variance", [False, True])
def test_lloca_transformer_gives_the_logits_of_the_package_s_network(preserve_variance, batch):
    from lloca import Frames
    from lloca.backbone.transformer import Transformer

    network = network_of("lloca_transformer", {"preserve_variance": preserve_variance})
    own = Transformer(7, "4x0n+1x1n", 3, 2, 2, mlp_factor=2, preserve_variance=preserve_variance)
    own = own.double().eval()
    assert not own.load_state_dict(network.backbone.network.state_dict(), False).unexpected_keys
    own.linear_out = network.head
    with torch.no_grad():
        frames, _, features, jets, is_real = local_inputs(network, batch)
        mask = is_real[:, None, None]
        outputs = own(features, Frames(frames), p_ref=jets, attn_mask=mask)
        expected = (outputs * is_real[..., None]).sum(dim=1) / is_real.sum(dim=1, keepdim=True)
        torch.testing.assert_close(network(batch), expected, **FLOAT64_NETWORK)


@pytest.mark.parametrize("training", [False, True])
def test_lloca_part_gives_the_logits_of_the_package_s_network(training, batch):
    from lloca import Frames
    from lloca.backbone.particletransformer import ParticleTransformer

    network = network_of("lloca_particle_transformer", {"dropout": 0.0}).train(training)
    own = ParticleTransformer(
        7,
        "4x0n+1x1n",
        num_classes=3,
        pair_input_dim=4,
        use_pre_activation_pair=False,
        embed_dims=(8, 16),
        pair_embed_dims=(8,),
        num_heads=2,
        num_layers=1,
        num_cls_layers=1,
        block_params={"dropout": 0, "attn_dropout": 0, "activation_dropout": 0},
        preserve_variance=False,
    )
    own = own.double().train(training)
    assert not own.load_state_dict(network.backbone.network.state_dict(), False).unexpected_keys
    own.fc = network.head
    with torch.no_grad():
        frames, momenta, features, _, is_real = local_inputs(network, batch)
        expected = own(
            features.transpose(1, 2),
            Frames(frames),
            v=momenta[..., [1, 2, 3, 0]].transpose(1, 2),
            mask=is_real[:, None].double(),
        )
        torch.testing.assert_close(network(batch), expected, **FLOAT64_NETWORK)


def test_masses_of_pairs_are_standardized_by_the_first_batch_of_a_training(batch):
    network = network_of("lloca_transformer", {})
    block = network.backbone.frames.vectors.block
    network(batch)
    assert not block.edge_inited  # scores of an untrained network leave it as it is
    network.train()(batch)
    references = make_references("beams")
    nodes = make_nodes(batch, references, min_mass=5e-3)
    parts = nodes.momenta.split([n + 3 for n in batch.lengths])
    pairs = [(p[:, None] + p)[~torch.eye(len(p), dtype=torch.bool)] for p in parts]
    p = torch.cat(pairs)
    masses = (p[:, 3] ** 2 - (p[:, :3] ** 2).sum(dim=1)).log()
    assert block.edge_mean.item() == pytest.approx(masses.mean().item())
    assert block.edge_std.item() == pytest.approx(masses.std().item())
    network(toy_batch(lengths=[9], seed=1).to("cpu", torch.float64))
    assert block.edge_mean.item() == pytest.approx(masses.mean().item())


def test_frames_of_parallel_vectors_are_finite_and_the_same_twice():
    vectors = torch.tensor([[[2.0, 0, 0, 1], [1, 0, 0, 0], [3, 0, 0, 0]]], dtype=torch.float64)
    vectors.requires_grad_()
    first, second = polar_frames(vectors), polar_frames(vectors)
    assert torch.equal(first, second)
    first.sum().backward()
    assert vectors.grad.isfinite().all()


def test_a_jet_at_rest_and_a_frame_without_mass_leave_momenta_as_they_are():
    p4 = torch.tensor([[1.0, 2, 3, 5]], dtype=torch.float64)
    for frame in ([0.0, 0, 0, 7], [0.0, 0, 3, 3], [0.0, 0, 0, 0]):
        torch.testing.assert_close(boosted(p4, torch.tensor([frame]).double()), p4)
    torch.testing.assert_close(boosted(p4, p4), torch.tensor([[0, 0, 0, 11**0.5]]).double())


def test_kinematic_features_are_the_authors():
    p = torch.randn(20, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    p[:, 0] = p.norm(dim=1)
    p[3:, 1:3] *= 1e-7
    jet = p.sum(dim=0).expand_as(p)
    torch.testing.assert_close(kinematic_features(p, jet), published_features(p, jet))


@pytest.mark.parametrize(
    ("name", "package"),
    [("lgatr", "lgatr"), ("lgatr_slim", "lgatr"), ("lloca_transformer", "lloca")],
)
def test_without_the_packages_a_sentence_names_the_extra(name, package, monkeypatch):
    for module in [module for module in sys.modules if module.startswith(f"{package}.")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)
    said = rf"{name} is made of the package {package}, and {package} is not installed: pip install"
    with pytest.raises(InputError, match=said + r" 'parttag\[equivariant\]'"):
        build_model(MODELS[name].network.options_class(), "kin", 2)


def test_a_least_mass_needs_reference_vectors():
    options = MODELS["lgatr_slim"].network.options_class
    with pytest.raises(ValidationError, match="min_mass needs reference_vectors: beams"):
        options(reference_vectors="none", min_mass=0.1)
