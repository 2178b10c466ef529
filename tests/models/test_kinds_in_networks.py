"""Networks of several kinds of particles: padded restatements in float64, laws, and ranks."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F

from helpers.kinds import KINDS, LENGTHS, kind_jets
from helpers.ranks import run_forked
from parttag.errors import InputError
from parttag.evaluation.probe import RawInputs
from parttag.jets.arrays import JetArrays, concatenate
from parttag.jets.batch import JetBatch, make_batch
from parttag.jets.column_features import ColumnFeature
from parttag.jets.feature_lists import resolved_features
from parttag.jets.kinds import KIND_COLUMN, KindName
from parttag.models import MODELS, build_model
from parttag.options import read_options
from parttag.testing.laws import shake
from parttag.testing.tolerances import FLOAT64_NETWORK

TINY = np.finfo(np.float32).tiny
FEATURES = resolved_features({
    "charged": ["log_pt", "delta_eta", "charge",
                ColumnFeature(column="ip3d", transform="asinh", centre=0.5, scale=1.5)],
    "neutral": ["log_energy_rel", "delta_r"],
    "vertices": ["log_pt_rel", ColumnFeature(column="mass", centre=1.0, scale=2.0),
                 ColumnFeature(column="d3d", centre=0.0, scale=0.3, clip=(0, 2))],
})  # fmt: skip
SIZES = {
    "pfn": {"particle_dims": [8, 8], "jet_dims": [8]},
    "particle_net": {"edge_dims": [[8, 8], [8]], "num_neighbours": 3, "jet_dims": [8],
                     "input_dim": 6},
    "particle_transformer": {"embed_dims": [12, 8], "pair_dims": [6, 6], "num_heads": 2,
                             "num_layers": 2, "num_class_layers": 1},
    "plain": {"embed_dims": [8], "num_heads": 2, "num_layers": 1, "num_class_layers": 1,
              "pair_bias": False},
    "encoder_decoder": {"embed_dim": 8, "num_heads": 2, "num_encoder_layers": 2,
                        "num_decoder_layers": 1, "feedforward_dim": 12},
}  # fmt: skip


def network(name: str, **options):
    kind = {"plain": "particle_transformer"}.get(name, name)
    own = read_options(MODELS[kind].network.options_class, {**SIZES[name], **options})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return shake(build_model(own, FEATURES, 3)).double().eval()


def logits(model, jets: JetArrays) -> torch.Tensor:
    with torch.no_grad():
        return model(make_batch(jets, max_particles=model.max_particles).to("cpu", torch.float64))


# ------------------------------------------------------------------------- padded restatements


class Padded:
    """Jets in slots, those of each kind beside one another; junk in the slots that are empty."""

    def __init__(self, jets: JetArrays) -> None:
        rng = np.random.default_rng(5)
        self.features, p4, mask = [], [], []
        kind = jets[KIND_COLUMN]
        jet = np.repeat(np.arange(len(jets)), jets.lengths)
        for number, (name, _) in enumerate(KINDS):
            lengths = np.bincount(jet[kind == number], minlength=len(jets))
            slots = np.arange(lengths.max() + 2) < lengths[:, None]
            own = np.flatnonzero(kind == number)
            values = formulas(name, jets, own)
            table = rng.normal(0, 9, (*slots.shape, values.shape[1]))
            table[slots] = values
            momenta = rng.normal(0, 99, (*slots.shape, 4))
            momenta[..., 3] = 300 + np.abs(momenta[..., 3])
            momenta[slots] = jets.p4[own]
            self.features.append(torch.from_numpy(table))
            p4.append(momenta)
            mask.append(slots)
        self.p4, self.mask = (torch.from_numpy(np.concatenate(v, axis=1)) for v in (p4, mask))
        axis = torch.from_numpy(jets.jet_axis.astype(np.float64))[:, None]
        sign = torch.where(torch.from_numpy(jets.jet_p4)[:, 2:3] < 0, -1.0, 1.0)
        eta = torch.asinh(self.p4[..., 2] / torch.hypot(self.p4[..., 0], self.p4[..., 1]))
        phi = torch.atan2(self.p4[..., 1], self.p4[..., 0])
        self.angles = torch.stack([(eta - axis[..., 0]) * sign, wrapped(phi - axis[..., 1])], dim=2)


def wrapped(phi):
    return (phi + np.pi) % (2 * np.pi) - np.pi


def formulas(name: str, jets: JetArrays, rows: np.ndarray) -> np.ndarray:
    """Return the features of FEATURES, by their definitions."""
    px, py, pz, energy = jets.p4[rows].astype(np.float64).T
    jet = np.repeat(np.arange(len(jets)), jets.lengths)[rows]
    jet_p4, axis = jets.jet_p4.astype(np.float64)[jet], jets.jet_axis.astype(np.float64)[jet]
    pt = np.hypot(px, py)
    sign = np.where(jet_p4[:, 2] < 0, -1, 1)
    delta_eta = (np.arcsinh(pz / pt) - axis[:, 0]) * sign
    delta_phi = wrapped(np.arctan2(py, px) - axis[:, 1])
    own = {column: jets[column][rows].astype(np.float64) for column in ("charge", "ip3d", "d3d")}
    columns = {
        "charged": [
            np.clip((np.log(pt) - 1.7) * 0.7, -5, 5),
            delta_eta,
            own["charge"],
            np.clip((np.arcsinh(own["ip3d"]) - 0.5) * 1.5, -5, 5),
        ],
        "neutral": [
            np.clip((np.log(energy) - np.log(jet_p4[:, 3]) + 4.7) * 0.7, -5, 5),
            np.clip((np.hypot(delta_eta, delta_phi) - 0.2) * 4, -5, 5),
        ],
        "vertices": [
            np.clip((np.log(pt) - np.log(np.hypot(*jet_p4.T[:2])) + 4.7) * 0.7, -5, 5),
            np.clip((np.sqrt(np.maximum(energy**2 - (px**2 + py**2 + pz**2), 0)) - 1) * 2, -5, 5),
            np.clip(own["d3d"] * 0.3, 0, 2),
        ],
    }
    return np.stack(columns[name], axis=1)


class Weights:
    """The numbers of a network by their names, and layers that use them."""

    def __init__(self, model) -> None:
        self.state = model.state_dict()

    def linear(self, name, x):
        return F.linear(x, self.state[f"{name}.weight"], self.state.get(f"{name}.bias"))

    def layer_norm(self, name, x):
        weight, bias = self.state[f"{name}.weight"], self.state[f"{name}.bias"]
        return F.layer_norm(x, x.shape[-1:], weight, bias)

    def batch_norm(self, name, x):
        mean, var = (self.state[f"{name}.running_{which}"] for which in ("mean", "var"))
        weight, bias = self.state[f"{name}.weight"], self.state[f"{name}.bias"]
        return (x - mean) / (var + 1e-5).sqrt() * weight + bias


def embedded(jets: Padded, embed) -> torch.Tensor:
    names = [name for name, _ in KINDS]
    return torch.cat([embed(n, x) for n, x in zip(names, jets.features, strict=True)], dim=1)


def restated_pfn(weights, jets):
    def embed(kind, x):
        for layer in (0, 2):
            x = weights.linear(f"backbone.of_{kind}.{layer}", x).relu()
        return x

    x = (embedded(jets, embed) * jets.mask[..., None]).sum(dim=1)
    return weights.linear("head.2", weights.linear("head.0", x).relu())


def restated_particle_net(weights, jets):
    def embed(kind, x):
        name = f"backbone.input_norm.of_{kind}"
        x = weights.batch_norm(f"{name}.0", x)
        return weights.batch_norm(f"{name}.2", weights.linear(f"{name}.1", x)).relu()

    mask = jets.mask[..., None]
    x, points = embedded(jets, embed) * mask, jets.angles
    for block, depth in ((0, 2), (1, 1)):
        points = torch.where(mask, points, 1e9)
        distance = (points[:, :, None] - points[:, None]).square().sum(dim=3)
        distance = distance + torch.eye(distance.shape[1]) * -1.0  # itself comes first
        nearest = distance.topk(4, dim=2, largest=False).indices[:, :, 1:]
        others = x[torch.arange(len(x))[:, None, None], nearest]
        centre = x[:, :, None].expand_as(others)
        edges = torch.cat([centre, others - centre], dim=3)
        name = f"backbone.blocks.{block}"
        for layer in range(depth):
            own = f"{name}.edges.layers.{layer}"
            edges = weights.batch_norm(f"{own}.norm", weights.linear(f"{own}.linear", edges)).relu()
        short = x
        if f"{name}.shortcut.0.weight" in weights.state:
            short = weights.batch_norm(
                f"{name}.shortcut.1", weights.linear(f"{name}.shortcut.0", x)
            )
        x = points = (short + edges.mean(dim=2)).relu() * mask
    x = x.sum(dim=1) / jets.mask.sum(dim=1, keepdim=True)
    return weights.linear("head", weights.linear("backbone.jet_layers.0", x).relu())


def attention(query, key, value, heads, bias):
    """Return softmax(q·k/√d + bias)·v, of (jets, slots, width)."""
    query, key, value = (v.unflatten(2, (heads, -1)).transpose(1, 2) for v in (query, key, value))
    scores = query @ key.transpose(2, 3) / query.shape[3] ** 0.5 + bias
    return (scores.softmax(dim=3) @ value).transpose(1, 2).flatten(2)


def pair_bias(weights, p4):
    pt = torch.hypot(p4[..., 0], p4[..., 1])
    y = torch.asinh(p4[..., 2] / (p4[..., 3].square() - p4[..., 2].square()).clamp(min=0).sqrt())
    phi = torch.atan2(p4[..., 1], p4[..., 0])
    smaller = torch.minimum(pt[:, :, None], pt[:, None])
    delta = torch.hypot(y[:, :, None] - y[:, None], wrapped(phi[:, :, None] - phi[:, None]))
    px, py, pz, energy = (p4[:, :, None] + p4[:, None]).unbind(dim=3)
    mass2 = energy**2 - (px**2 + py**2 + pz**2)
    z = smaller / (pt[:, :, None] + pt[:, None])
    x = torch.stack([smaller * delta, z, delta, mass2], dim=3).clamp(min=1e-8).log()
    x = weights.batch_norm("backbone.pair_network.input_norm", x)
    for layer in range(3):
        name = f"backbone.pair_network.layers.{layer}"
        x = F.gelu(weights.batch_norm(f"{name}.norm", weights.linear(f"{name}.linear", x)))
    return x.permute(0, 3, 1, 2)


def residuals(weights, name, x, attended):
    scale = weights.state[f"{name}.head_scale"].repeat_interleave(4)
    out = F.linear(
        attended, weights.state[f"{name}.out.weight"] * scale[:, None],
        weights.state[f"{name}.out.bias"] * scale,
    )  # fmt: skip
    x = x + weights.layer_norm(f"{name}.post_attention_norm", out)
    own = f"{name}.feedforward"
    hidden = F.gelu(weights.linear(f"{own}.hidden", weights.layer_norm(f"{own}.norm", x)))
    out = weights.linear(f"{own}.out", weights.layer_norm(f"{own}.hidden_norm", hidden))
    return out + weights.state[f"{name}.residual_scale"] * x


def restated_transformer(weights, jets, sizes):
    def embed(kind, x):
        x = weights.batch_norm(f"backbone.embedding.of_{kind}.input_norm", x)
        for layer in range(len(sizes["embed_dims"])):
            name = f"backbone.embedding.of_{kind}.layers.{layer}"
            x = F.gelu(weights.linear(f"{name}.linear", weights.layer_norm(f"{name}.norm", x)))
        return x

    x = embedded(jets, embed)
    hidden = torch.zeros(jets.mask.shape).double().masked_fill(~jets.mask, -torch.inf)
    bias = hidden[:, None, None]
    if sizes.get("pair_bias", True):
        bias = torch.where(jets.mask[:, None, None], pair_bias(weights, jets.p4), bias)
    for layer in range(sizes["num_layers"]):
        name = f"backbone.blocks.{layer}"
        qkv = weights.linear(f"{name}.qkv", weights.layer_norm(f"{name}.pre_attention_norm", x))
        x = residuals(weights, name, x, attention(*qkv.chunk(3, dim=2), 2, bias))
    token = weights.state["backbone.class_token"].expand(len(x), 1, -1)
    name = "backbone.class_blocks.0"
    query = weights.linear(f"{name}.qkv", token).chunk(3, dim=2)[0]
    both = weights.layer_norm(f"{name}.pre_attention_norm", torch.cat([token, x], dim=1))
    _, key, value = weights.linear(f"{name}.qkv", both).chunk(3, dim=2)
    bias = F.pad(hidden, (1, 0))[:, None, None]
    token = residuals(weights, name, token, attention(query, key, value, 2, bias))
    return weights.linear("head", weights.layer_norm("backbone.norm", token[:, 0]))


def restated_encoder_decoder(weights, jets):
    bias = torch.zeros(jets.mask.shape).double().masked_fill(~jets.mask, -torch.inf)[:, None, None]
    x = 8**0.5 * embedded(
        jets, lambda k, x: weights.linear(f"backbone.encoder.embedding.of_{k}", x)
    )

    def feedforward(name, x):
        hidden = weights.linear(f"{name}.feedforward.0", x).relu()
        out = weights.linear(f"{name}.feedforward.2", hidden)
        return weights.layer_norm(f"{name}.feedforward_norm", x + out)

    for layer in range(2):
        name = f"backbone.encoder.layers.{layer}"
        parts = weights.linear(f"{name}.qkv", x).chunk(3, dim=2)
        out = weights.linear(f"{name}.out", attention(*parts, 2, bias))
        x = feedforward(name, weights.layer_norm(f"{name}.attention_norm", x + out))
    place = torch.tensor([0.0, 1.0] * 4)  # sine and cosine of position 0
    token = (8**0.5 * weights.state["backbone.decoder.start"] + place).expand(len(x), 1, -1)
    name = "backbone.decoder.layers.0"
    out = weights.linear(f"{name}.out", weights.linear(f"{name}.qkv", token).chunk(3, dim=2)[2])
    token = weights.layer_norm(f"{name}.attention_norm", token + out)
    keys = weights.linear(f"{name}.cross_keys", x).chunk(2, dim=2)
    out = attention(weights.linear(f"{name}.cross_query", token), *keys, 2, bias)
    token = token + weights.linear(f"{name}.cross_out", out)
    token = feedforward(name, weights.layer_norm(f"{name}.cross_norm", token))
    return weights.linear("head", token[:, 0])


RESTATED = {
    "pfn": restated_pfn,
    "particle_net": restated_particle_net,
    "particle_transformer": partial(restated_transformer, sizes=SIZES["particle_transformer"]),
    "plain": partial(restated_transformer, sizes=SIZES["plain"]),
    "encoder_decoder": restated_encoder_decoder,
}
each_network = pytest.mark.parametrize("name", SIZES)


@each_network
def test_logits_are_those_of_a_padded_restatement(name):
    jets, model = kind_jets(seed=2), network(name)
    with torch.no_grad():
        expected = RESTATED[name](Weights(model), Padded(jets))
    torch.testing.assert_close(logits(model, jets), expected, rtol=1e-9, atol=1e-9)


# ---------------------------------------------------------------------------------------- laws


@each_network
def test_logits_depend_on_nothing_but_the_particles_of_the_jet(name):
    jets, model = kind_jets(seed=2), network(name)
    expected = logits(model, jets)
    close = partial(torch.testing.assert_close, **FLOAT64_NETWORK)
    # Alone, in another order, and beside longer jets, whose padding is longer.
    alone = [logits(model, jets.span(b, b + 1)) for b in range(len(jets))]
    close(torch.cat(alone), expected)
    order = np.random.default_rng(0).permutation(len(jets))
    close(logits(model, jets.take(order)), expected[order])
    longer = kind_jets({"charged": [90, 3], "neutral": [0, 60], "vertices": [9, 0]}, 3)
    close(logits(model, concatenate([jets, longer]))[: len(jets)], expected)
    # The particles of a jet in any order, within their kind and among kinds.
    rng = np.random.default_rng(1)
    starts = zip(jets.offsets, jets.lengths, strict=False)
    rows = np.concatenate([start + rng.permutation(n) for start, n in starts])
    names = ("p4", "extra", "columns")
    close(logits(model, replace(jets, **{n: getattr(jets, n)[rows] for n in names})), expected)
    # Kinds numbered in another way, as in another file.
    number = np.array([2, 0, 1], np.uint8)
    columns = jets.columns.copy()
    columns[:, -1] = number[columns[:, -1]]
    kinds = tuple(KINDS[old] for old in np.argsort(number))
    close(logits(model, replace(jets, columns=columns, kinds=kinds)), expected)


@each_network
def test_rows_beyond_the_last_particle_change_no_logit_and_no_gradient(name):
    model = network(name)
    clean = make_batch(kind_jets()).to("cpu", torch.float64)
    junk = {
        "p4": torch.full((5, 4), torch.nan),
        "extra": torch.full((5, 1), 1e30),
        "columns": torch.full((5, clean.columns.shape[1]), 255),
    }
    more = {n: torch.cat([getattr(clean, n), v.to(getattr(clean, n))]) for n, v in junk.items()}
    found = []
    for batch in (clean, replace(clean, **more)):
        model.zero_grad()
        out = model(batch)
        out.square().sum().backward()
        found.append([out.detach(), *(p.grad.clone() for p in model.parameters())])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


@each_network
def test_jets_without_a_kind_of_one_particle_and_of_none(name):
    model = network(name)
    lengths = {"charged": [1, 0, 0, 0, 4], "neutral": [0, 1, 0, 0, 2], "vertices": [0, 0, 1, 0, 0]}
    jets = kind_jets(lengths)
    out = logits(model, jets)
    assert out.isfinite().all()
    assert logits(model, jets.span(0, 0)).shape == (0, 3)
    torch.testing.assert_close(
        torch.cat([logits(model, jets.span(b, b + 1)) for b in range(5)]), out, **FLOAT64_NETWORK
    )
    no_vertices = jets.take(np.array([0, 4]))
    torch.testing.assert_close(logits(model, no_vertices), out[[0, 4]], **FLOAT64_NETWORK)
    # In training every parameter has a gradient, those of a kind that is not there too.
    model.train()
    model(make_batch(no_vertices).to("cpu", torch.float64)).square().sum().backward()
    assert not [n for n, p in model.named_parameters() if p.grad is None]
    assert all(p.grad.isfinite().all() for p in model.parameters())


@each_network
def test_the_hardest_of_each_kind_are_all_that_counts(name):
    model = network(name, max_particles={"charged": 2, "vertices": None})
    jets = kind_jets(seed=2)
    jet, kind = np.repeat(np.arange(len(jets)), jets.lengths), jets[KIND_COLUMN]
    late = np.zeros(len(kind), dtype=bool)
    for b in range(len(jets)):
        late[np.flatnonzero((jet == b) & (kind == 0))[2:]] = True
    others = replace(jets, p4=np.where(late[:, None], jets.p4 * np.float32(0.5), jets.p4))
    torch.testing.assert_close(logits(model, others), logits(model, jets), rtol=0, atol=0)
    assert not torch.equal(logits(network(name), others), logits(network(name), jets))


def test_batch_norms_see_the_real_particles_of_their_kind_only():
    jets = kind_jets(seed=2)
    model = network("particle_transformer", trim=False).train()
    before = {n: b.clone() for n, b in model.named_buffers()}
    model(make_batch(jets).to("cpu", torch.float64))
    for number, (name, _) in enumerate(KINDS):
        values = formulas(name, jets, np.flatnonzero(jets[KIND_COLUMN] == number))
        norm = f"backbone.embedding.of_{name}.input_norm"
        for which, moment in (("mean", values.mean(0)), ("var", values.var(0, ddof=1))):
            moved = 0.9 * before[f"{norm}.running_{which}"] + 0.1 * torch.from_numpy(moment)
            torch.testing.assert_close(model.get_buffer(f"{norm}.running_{which}"), moved)


def test_a_kind_of_one_feature_is_worth_a_remark():
    names = (*FEATURES, KindName("tracks", "log_pt"))
    (sentence,) = MODELS["particle_transformer"].network.remarks(names)
    assert sentence.startswith("features.tracks is one feature, of which the layer norm")
    assert MODELS["pfn"].network.remarks(names) == ()


def test_a_kind_may_have_widths_of_its_own():
    model = network("particle_transformer", kind_dims={"vertices": [5], "neutral": []})
    widths = {
        kind: [
            layer.linear.out_features for layer in getattr(model.backbone.embedding, kind).layers
        ]
        for kind in ("of_charged", "of_neutral", "of_vertices")
    }
    assert widths == {"of_charged": [12, 8], "of_neutral": [8], "of_vertices": [5, 8]}
    assert logits(model, kind_jets()).isfinite().all()
    wide = network("pfn", kind_dims={"charged": [30]}).backbone.of_charged
    assert [layer.out_features for layer in wide if hasattr(layer, "out_features")] == [30, 8]
    with pytest.raises(InputError, match=r"model.kind_dims.vertex: there is no such kind"):
        network("pfn", kind_dims={"vertex": [3]})


def test_raw_inputs_of_a_probe_are_the_hardest_of_each_kind():
    jets = kind_jets(seed=2)
    raw = RawInputs(FEATURES).double()
    batch = make_batch(jets, max_particles=raw.max_particles).to("cpu", torch.float64)
    found = raw.encode(batch).numpy()
    expected = [np.zeros((len(jets), 0))]
    jet, kind = np.repeat(np.arange(len(jets)), jets.lengths), jets[KIND_COLUMN]
    for number, (name, _) in enumerate(KINDS):
        rows = np.flatnonzero(kind == number)
        values = formulas(name, jets, rows)
        table = np.zeros((len(jets), raw.max_particles.of_kind[number][1], values.shape[1]))
        for b in range(len(jets)):
            own = values[jet[rows] == b][: table.shape[1]]
            table[b, : len(own)] = own
        expected.append(table.reshape(len(jets), -1))
    np.testing.assert_allclose(found, np.concatenate(expected, axis=1), rtol=1e-9, atol=1e-9)
    assert raw.head.in_features == found.shape[1]


def test_particles_of_which_nothing_is_read_are_left_out_or_refused():
    names = tuple(name for name in FEATURES if name.kind != "neutral")
    options = read_options(MODELS["pfn"].network.options_class, SIZES["pfn"])
    model = build_model(options, names, 2).double().eval()
    jets = kind_jets()
    assert logits(model, jets).isfinite().all()
    with pytest.raises(InputError, match="particles of the kind neutral, of which the network"):
        model(make_batch(jets))
    one = kind_jets({"charged": [3, 2]}, kinds=(("charged", True),))
    with pytest.raises(InputError, match=r"features.vertices: .* no particles of that kind"):
        logits(model, one)


@pytest.mark.parametrize("name", sorted(set(MODELS) - set(SIZES)))
def test_other_networks_refuse_kinds_in_one_sentence(name):
    with pytest.raises(InputError, match=rf"^features: {name} reads particles of one kind, not"):
        build_model(MODELS[name].network.options_class(), FEATURES, 2)


# --------------------------------------------------------------------------------------- ranks

# Two jets without vertices and two more go to one rank, none to another, the others to the last.
ENDS = {2: [0, 2, 6], 3: [0, 2, 2, 6]}


def training_step(batch: JetBatch) -> list[dict[str, torch.Tensor]]:
    """Return the gradients of all networks, and their buffers after the step."""
    found = []
    for name in SIZES:
        model = network(name).train()
        for module in model.modules():
            if hasattr(module, "p"):
                module.p = 0.0
            if hasattr(module, "attention_dropout"):
                module.attention_dropout = 0.0
        model(batch).square().sum().backward()
        found.append({n: p.grad for n, p in model.named_parameters()} | dict(model.named_buffers()))
    return found


def rank_jets(start: int = 0, stop: int = 6) -> JetBatch:
    lengths = {**LENGTHS, "vertices": [0, 0, 2, 3, 0, 1]}
    return make_batch(kind_jets(lengths, 4).span(start, stop)).to("cpu", torch.float64)


def run_rank(rank: int, directory: str, num_ranks: int) -> None:
    store = dist.FileStore(f"{directory}/store{num_ranks}", num_ranks)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=num_ranks)
    step = training_step(rank_jets(*ENDS[num_ranks][rank : rank + 2]))
    torch.save(step, f"{directory}/{rank}of{num_ranks}.pt")
    dist.destroy_process_group()


@pytest.mark.parametrize("num_ranks", [2, 3])
def test_ranks_are_one_process(tmp_path: Path, num_ranks):
    run_forked(run_rank, num_ranks, str(tmp_path), num_ranks)
    steps = [torch.load(tmp_path / f"{rank}of{num_ranks}.pt") for rank in range(num_ranks)]
    for number, expected in enumerate(training_step(rank_jets())):
        for name, value in expected.items():
            if not value.dtype.is_floating_point:
                continue
            ranks = [step[number][name] for step in steps]
            is_buffer = "running" in name
            for ours in ranks if is_buffer else [sum(ranks)]:
                torch.testing.assert_close(ours, value, **FLOAT64_NETWORK, msg=name)
