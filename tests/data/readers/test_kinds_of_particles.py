"""Kinds of particles in files: a section for each, told apart by one column, in stores too."""

from pathlib import Path

import awkward as ak
import h5py
import numpy as np
import pytest

from helpers.kinds import KINDS, LENGTHS, kind_jets
from helpers.mapped import columns, layout, read
from parttag.data.jet_files import JetFiles
from parttag.data.loading.dataset import open_dataset
from parttag.data.loading.loader import JetLoader
from parttag.data.preparation.prepare import prepare
from parttag.data.readers.column_layout import ColumnLayout
from parttag.data.readers.columns import ColumnsOptions
from parttag.data.readers.more_columns import WantedColumns
from parttag.data.selection.good_jets import aligned
from parttag.data.store.store import JetStore
from parttag.errors import InputError
from parttag.jets.arrays import JetArrays, concatenate
from parttag.jets.awkward_arrays import from_awkward
from parttag.jets.batch import make_batch
from parttag.jets.kinds import KIND_COLUMN, KindLimits
from parttag.runs.config import build_config

# Three jets: all kinds; no vertices and particles of one kind only; charged ones of pT 1 to 3.
CHARGED = [[10.0, 30.0], [], [1.0, 2.0, 3.0]]
NEUTRAL = [[20.0], [4.0, 0.0], []]
VERTICES = [[15.0, 40.0], [], [2.5]]
TEXT = """
particles:
  charged: {px: c_px, py: 0, pz: 0, mass: 0, charge: c_q, extra: {ip3d: c_ip}}
  neutral: {px: n_px, py: 0, pz: 0, mass: 0, unit: MeV, weight: n_w}
  vertices: {px: v_px, py: 0, pz: 0, mass: 0, relative_to_jet: false, extra: {d3d: v_d3d}}
jet: {px: j_px, py: 0, pz: 0, mass: 0}
labels: {branches: {label_top: top, label_QCD: qcd}}
"""


def branches() -> dict[str, object]:
    return {
        "c_px": ak.Array(CHARGED),
        "c_q": ak.Array([[1, -1], [], [1, 1, -1]]),
        "c_ip": ak.values_astype(ak.Array(CHARGED) / 10, np.float32),
        "n_px": ak.Array(NEUTRAL) * 1000,
        "n_w": ak.Array([[0.5], [1.0, 1.0], []]),
        "v_px": ak.Array(VERTICES),
        "v_d3d": ak.values_astype(ak.Array(VERTICES), np.float16),
        "j_px": np.array([90.0, 4.0, 6.0]),
        "top": np.array([1, 0, 1]),
        "qcd": np.array([0, 1, 0]),
    }


def write(path: Path, content=None) -> Path:
    ak.to_parquet(ak.zip(dict(content or branches()), depth_limit=1), path)
    return path


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return write(tmp_path_factory.mktemp("kinds") / "jets.parquet")


def test_kinds_are_packed_together_by_falling_pt_with_a_column_that_tells_them_apart(file):
    jets = read(file, TEXT)
    assert jets.kinds == (("charged", True), ("neutral", True), ("vertices", True))
    px = [[40, 30, 15, 10, 10], [4], [3, 2.5, 2, 1]]
    assert ak.unflatten(jets.p4[:, 0], jets.lengths).tolist() == px
    kind = ak.unflatten(jets[KIND_COLUMN], jets.lengths).tolist()
    assert kind == [[2, 0, 2, 0, 1], [1], [0, 2, 0, 0]]
    assert jets[KIND_COLUMN].dtype == np.uint8
    assert jets["charge"].tolist() == [0, -1, 0, 1, 0, 0, -1, 0, 1, 1]
    np.testing.assert_allclose(jets["ip3d"], [0, 3, 0, 1, 0, 0, 0.3, 0, 0.2, 0.1], rtol=1e-6)
    assert jets["d3d"].tolist() == [40, 0, 15, 0, 0, 0, 0, 2.5, 0, 0]
    assert jets["d3d"].dtype == np.float16
    assert jets.to_awkward().particles.kind.tolist() == kind


def test_a_mapping_of_sections_is_kinds_and_one_section_or_a_list_is_not():
    assert columns(TEXT).kinds == KINDS
    one = "particles: {pt: a, eta: b, phi: c, mass: 0, of_jet: {particles: d}, extra: {e: f}}"
    assert columns(f"{{jets: J, jet: {{pt: g, eta: h, phi: i, mass: 0}}, {one}}}").kinds == ()
    assert columns("particles: [{px: a, py: b, pz: c, mass: 0}]").kinds == ()
    kinds = columns("particles: {tracks: {px: a, py: b, pz: c, mass: 0}}")
    assert kinds.kinds == (("tracks", True),)
    again = ColumnsOptions.model_validate(kinds.model_dump(mode="json"))
    assert again == kinds


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{a b: {px: a, py: b, pz: c, mass: 0}}", "'a b' cannot be the name of a kind"),
        ("{a: {px: a, py: b, mass: 0}}", r"columns.particles.a: name the branches of px, py and"),
        ("{a: {pxx: a}}", r"columns.particles.a.pxx: there is no such key"),
        ("{a: {unit: MeV}}", r"particles.a: name a branch of these particles"),
        ("{a: {weight: w, extra: {x: y}}}", "weight multiplies a four-momentum"),
        ("{a: {extra: {kind: y}}}", "extra.kind is a quantity of particles that parttag knows"),
        ("{a: {px: a, py: b, pz: c, mass: 0, of_jet: {particles: p}}, b: {extra: {x: y}}}",
         "particles.b has no of_jet; of kinds, each has its own"),
        ("{a: {px: a, py: b, pz: c, mass: 0, of_jet: {cluster: {radius: 1, min_pt: 1}}}}",
         "no jets can be made of kinds of particles"),
        ("{a: {extra: {x: y}, of_jet: {within: 1}}}", "particles.a.of_jet.within needs directions"),
    ],
)  # fmt: skip
def test_sections_that_make_no_kinds_are_refused_by_key(text, sentence):
    with pytest.raises(InputError, match=sentence):
        columns(f"particles: {text}")


def test_a_missing_branch_is_named_with_its_kind(tmp_path):
    content = branches()
    for name, key in (("v_px", "particles.vertices.px"), ("c_ip", "particles.charged.extra.ip3d")):
        rest = {n: b for n, b in content.items() if n != name}
        with pytest.raises(InputError, match=rf"no branch {name}.*correct data.columns.{key}"):
            read(write(tmp_path / f"{name}.parquet", rest), TEXT)


def test_particles_without_momenta_come_last_and_are_no_padding(tmp_path):
    text = """
    particles:
      tracks: {mask: tracks/valid, extra: {d0: tracks/d0}}
      clusters: {px: "px[:, :]", py: 0, pz: 0, mass: 0}
    jet: {pt: pt, eta: 0, phi: 0, mass: 0}
    """.replace("{d0:", "{impact:")
    tracks = np.zeros((2, 3), dtype=[("valid", "?"), ("d0", "f4")])
    tracks["valid"] = [[True, True, False], [True, False, False]]
    tracks["d0"] = [[0.0, 5.0, 9.0], [0.0, 0.0, 0.0]]
    with h5py.File(tmp_path / "jets.h5", "w") as out:
        out["tracks"], out["px"], out["pt"] = tracks, np.array([[2.0, 3], [0, 0]]), np.ones(2)
    jets = read(tmp_path / "jets.h5", text)
    assert jets.kinds == (("tracks", False), ("clusters", True))
    assert jets.lengths.tolist() == [4, 1]
    assert jets[KIND_COLUMN].tolist() == [1, 1, 0, 0, 0]
    assert jets["impact"].tolist() == [0, 0, 0, 5, 0]
    assert jets.p4[:, 0].tolist() == [3, 2, 0, 0, 0]


EVENTS = """
jets: J
jet: {pt: J_pt, eta: J_eta, phi: J_phi, mass: 0}
particles:
  charged: {px: c_px, py: 0, pz: 0, mass: 0, of_jet: {jet: c_jet, particle: c_index}}
  vertices: {px: v_px, py: 0, pz: 0, mass: 0, of_jet: {particles: J_vertices}}
  near: {px: n_px, py: 0, pz: 0, mass: 0, of_jet: {within: 0.4}}
"""


def test_each_kind_of_an_event_says_which_are_a_jets():
    content = {
        "J_pt": ak.Array([[5.0, 7.0], [], [9.0]]),
        "J_eta": ak.Array([[0.0, 0.0], [], [0.0]]),
        "J_phi": ak.Array([[0.0, np.pi], [], [0.0]]),
        "c_px": ak.Array([[1.0, 2.0, 3.0], [4.0], [5.0]]),
        "c_jet": ak.Array([[0, 1, 0], [], [0]]),
        "c_index": ak.Array([[2, 1, 0], [], [0]]),
        "v_px": ak.Array([[0.5], [], [0.25, 0.125]]),
        "J_vertices": ak.Array([[[], [0]], [], [[1, 0]]]),
        "n_px": ak.Array([[6.0, -8.0], [], []]),
    }
    own = layout(EVENTS)
    assert set(content) == set(own.branches_to_read(content, Path("x")))
    jets = own.to_jets(content, Path("x"), 0)
    px = ak.unflatten(jets.p4[:, 0], jets.lengths).tolist()
    assert px == [[6, 3, 1], [-8, 2, 0.5], [5, 0.25, 0.125]]
    kind = ak.unflatten(jets[KIND_COLUMN], jets.lengths).tolist()
    assert kind == [[2, 0, 0], [2, 0, 1], [0, 1, 1]]


def same(jets: JetArrays, others: JetArrays) -> bool:
    names = ("p4", "extra", "columns", "offsets", "jet_p4", "labels")
    arrays = all(np.array_equal(getattr(jets, n), getattr(others, n)) for n in names)
    return arrays and (jets.kinds, jets.column_types) == (others.kinds, others.column_types)


def test_stores_keep_kinds_through_shards_streams_and_joins(file, tmp_path):
    jets, options = read(file, TEXT), columns(TEXT)
    one, other = tmp_path / "one", tmp_path / "other"
    prepare([file], one, columns=options, shuffle=False, column_names=["d3d"])
    prepare([file], other, columns=options, seed=1, shard_bytes=100)
    assert len(JetStore(other).manifest.shards) > 1
    assert dict(JetStore(one).manifest.column_types) == {"d3d": "<f2", KIND_COLUMN: "|u1"}
    stored = JetStore(other)
    assert stored.manifest.kinds == jets.kinds
    assert list(stored.manifest.columns["particles"]) == ["charged", "neutral", "vertices"]
    assert same(stored.take(np.argsort(stored.read([(0, 3)]).index)), jets)
    assert same(concatenate([jets.span(0, 1), jets.span(1, 3)]), jets)
    classes = {"top": ["label_top"], "QCD": ["label_QCD"]}
    wanted = WantedColumns(of_kinds=(("vertices", ("d3d",)), ("charged", ())))
    limits = KindLimits((("vertices", 1), ("charged", None)))
    expected = {0: [40, 30, 10], 1: [], 2: [3, 2.5, 2, 1]}
    for place, resident in ((other, None), (other, "cpu"), (one, None)):
        data = open_dataset(JetFiles(place, wanted=wanted), classes)
        loader = JetLoader(data, 2, shuffle=True, max_particles=limits, resident=resident)
        found = {}
        for batch in loader.epoch(0):
            assert batch.kinds == jets.kinds
            px = ak.unflatten(batch.p4[:, 0].numpy(), batch.lengths).tolist()
            found |= dict(zip(batch.index.tolist(), px, strict=True))
        assert found == expected


def test_stores_whose_kinds_are_in_another_order_are_read_together():
    jets = kind_jets()
    order = ("vertices", "neutral", "charged")
    others = kind_jets(LENGTHS, kinds=tuple((name, True) for name in order))
    renamed = aligned(others, jets)
    assert renamed.kinds == jets.kinds
    counts = [np.bincount(j[KIND_COLUMN], minlength=3).tolist() for j in (jets, renamed)]
    assert counts[0] == counts[1]
    without = kind_jets(kinds=(("charged", True), ("neutral", False), ("vertices", True)))
    with pytest.raises(InputError, match=r"differ in their kinds .* four-momenta \(neutral\)"):
        aligned(without, jets)


@pytest.mark.parametrize("together", [None, 6])
def test_the_hardest_of_each_kind_are_kept(together):
    jets = kind_jets()
    limits = KindLimits((("charged", 4), ("vertices", None)), together)
    kept = jets.take(np.arange(len(jets)), limits)
    for b in range(len(jets)):
        own = jets.span(b, b + 1)
        rows = [r for r, k in enumerate(own[KIND_COLUMN]) if k != 1]
        hardest = [r for r in rows if own[KIND_COLUMN][r] == 0][:4]
        rows = [r for r in rows if own[KIND_COLUMN][r] == 2 or r in hardest][:together]
        assert np.array_equal(kept.span(b, b + 1).p4, own.p4[rows])
    assert np.array_equal(make_batch(jets, max_particles=limits).p4.numpy(), kept.p4)
    assert np.array_equal(kept.jet_p4, jets.jet_p4)


CONFIG = {
    "data": {"classes": {"top": ["label_top"], "QCD": ["label_QCD"]}},
    "model": {"name": "pfn"},
    "features": {"charged": ["kin", "ip3d"], "vertices": ["log_pt"]},
}
PARTICLES = {
    "charged": {"px": "a", "py": "b", "pz": "c", "mass": 0, "extra": {"ip3d": "d"}},
    "vertices": {"px": "e", "py": "f", "pz": "g", "mass": 0},
}
WITHOUT = {**PARTICLES, "vertices": {"extra": {"d3d": "h", "dxy": "i"}}}


@pytest.mark.parametrize(
    ("changes", "particles", "sentence"),
    [
        ({"model": {"name": "pcnn"}}, None,
         "features: pcnn reads particles of one kind, not charged, vertices; list the features"),
        ({"model": {"name": "lorentz_net"}}, None, "lorentz_net makes its own inputs|of one kind"),
        ({"model": {"name": "pfn", "max_particles": {"chargd": 3}}}, None,
         "model.max_particles.chargd: there is no such kind in features; the nearest is charged"),
        ({"features": "kin", "model": {"name": "pfn", "max_particles": {"charged": 3}}}, None,
         "model.max_particles.charged: features are those of all particles alike"),
        ({"model": {"name": "pfn", "max_particles": {"charged": 0}}}, None,
         "model.max_particles.charged is 0, but must be"),
        ({}, {"charged": PARTICLES["charged"]},
         "features.vertices: data.columns have no particles of that kind; there are charged"),
        ({}, PARTICLES["charged"],
         "features: data.columns have particles of one kind, not of charged, vertices"),
        ({"features": {"charged": ["tanh_d0"]}}, PARTICLES,
         "features.charged needs the column d0, of which no branch is named in data.columns"),
        ({}, WITHOUT, "feature log_pt needs four-momenta, which the vertices of data.columns have"),
        ({"features": {"charged": "kin", "vertices": ["d3d", "dxy"]},
          "model": {"name": "particle_transformer"}}, WITHOUT,
         "model particle_transformer needs four-momenta, which the vertices"),
        ({"features": "kin"}, WITHOUT, "feature log_pt needs four-momenta, which the vertices"),
        ({"features": {"charged": "kim"}}, None, "features: there is no set 'kim'"),
        ({"features": {"charged": [{"column": "x", "transfrom": "log"}]}}, None,
         "features.charged: transfrom: there is no such key"),
        ({"features": {"a.b": "kin"}}, None, "'a.b' cannot be the name of a kind"),
    ],
)  # fmt: skip
def test_configurations_that_do_not_fit_are_refused(changes, particles, sentence):
    content = {**CONFIG, **changes}
    if particles is not None:
        content["data"] = {**content["data"], "columns": {"particles": particles}}
    with pytest.raises(InputError, match=sentence):
        build_config(content)


def test_networks_without_pairs_read_kinds_without_momenta():
    plain = {"name": "particle_transformer", "pair_bias": False}
    for model in (plain, {"name": "pfn"}, {"name": "encoder_decoder"}):
        features = {"charged": "kin", "vertices": ["d3d", "dxy"]}
        data = {**CONFIG["data"], "columns": {"particles": WITHOUT}}
        build_config({**CONFIG, "data": data, "features": features, "model": model})


def test_jets_that_lack_a_kind_or_its_column_are_refused(file, tmp_path):
    classes = {"top": ["label_top"], "QCD": ["label_QCD"]}
    prepare([file], tmp_path / "store", columns=columns(TEXT), column_names=[])
    for wanted, sentence in (
        (WantedColumns(of_kinds=(("muons", ()),)), "features.muons: .* no particles of that kind"),
        (WantedColumns(particles=("d3d",), of_kinds=(("vertices", ("d3d",)),)), "column 'd3d'"),
    ):
        with pytest.raises(InputError, match=sentence):
            open_dataset(JetFiles(tmp_path / "store", wanted=wanted), classes)
    wanted = WantedColumns(particles=("d3d",), of_kinds=(("charged", ("d3d",)),))
    own = ColumnLayout(columns(TEXT), wanted=wanted)
    with pytest.raises(InputError, match=r"features.charged: there is no feature 'd3d', and .* of"):
        own.branches_to_read(branches(), Path("x"))


def test_the_kind_may_be_a_feature_of_all_particles(file):
    wanted = WantedColumns(particles=(KIND_COLUMN, "d3d"))
    own = ColumnLayout(columns(TEXT), wanted=wanted)
    assert own.schema(branches(), Path("x")).columns == ("d3d", KIND_COLUMN)
    jets = JetFiles(file, columns(TEXT), wanted=wanted).read()
    assert dict(jets.column_types) == {"d3d": "<f2", KIND_COLUMN: "|u1"}
    assert np.array_equal(jets[KIND_COLUMN], read(file, TEXT)[KIND_COLUMN])


def test_awkward_arrays_of_several_kinds_are_jets():
    jets = kind_jets(kinds=(("charged", True), ("neutral", True), ("vertices", False)))
    whole = jets.to_awkward()
    own = {"charged": ["charge", "ip3d", "puppi"], "neutral": ["puppi"], "vertices": ["d3d"]}
    momentum = ["px", "py", "pz", "E"]
    arrays = {
        name: whole.particles[whole.particles.kind == number][
            [*(momentum if name != "vertices" else []), *own[name]]
        ]
        for number, name in enumerate(own)
    }
    labels = {"label_top": jets["label_top"]}
    again = from_awkward(arrays, labels, jets=whole.jet)
    assert again.kinds == jets.kinds
    assert np.array_equal(again.p4, jets.p4)
    assert np.array_equal(again[KIND_COLUMN], jets[KIND_COLUMN])
    assert np.array_equal(again["d3d"], jets["d3d"])
    assert np.array_equal(again["puppi"], np.where(jets[KIND_COLUMN] == 2, 0, jets["puppi"]))
    np.testing.assert_allclose(again.jet_p4, jets.jet_p4, rtol=1e-6)
    assert from_awkward(arrays, extras=["ip3d"]).extra_names == ("ip3d",)
    for wrong, sentence in (
        ({"a b": arrays["neutral"]}, "'a b' cannot be the name of a kind"),
        ({"charged": arrays["charged"], "neutral": arrays["neutral"][1:]}, "have the same jets"),
    ):
        with pytest.raises(InputError, match=sentence):
            from_awkward(wrong)


def test_files_to_score_are_refused_where_a_kind_lacks_what_the_network_reads(tmp_path):
    wanted = WantedColumns(of_kinds=(("charged", ()),), with_momenta=(("charged", "model x"),))
    text = TEXT.replace("c_px: c_px, ", "").replace("px: c_px, py: 0, pz: 0, mass: 0, ", "")
    content = {n: b for n, b in branches().items() if n != "c_px"}
    path = write(tmp_path / "jets.parquet", content)
    with pytest.raises(
        InputError, match=r"model x needs four-momenta, which the charged of .*jets"
    ):
        list(JetFiles(path, columns(text), wanted=wanted).all_jets())
    wanted = WantedColumns(of_kinds=(("muons", ()),))
    with pytest.raises(InputError, match=r"features.muons: .* no particles of that kind"):
        list(JetFiles(path, columns(text), wanted=wanted).all_jets())


def test_particles_one_after_the_other_are_read_of_one_kind_only(tmp_path):
    with h5py.File(tmp_path / "jets.h5", "w") as file:
        file["pt"], file["d0"], file["n"] = np.ones(1), np.arange(5.0), np.array([5])
    tracks = "tracks: {count: n, extra: {impact: d0}}"
    jet = "jet: {pt: pt, eta: 0, phi: 0, mass: 0}"
    jets = read(tmp_path / "jets.h5", f"{{particles: {{{tracks}}}, {jet}}}")
    assert jets["impact"].tolist() == [0, 1, 2, 3, 4]
    two = f"{{particles: {{{tracks}, vertices: {{count: n, extra: {{d3d: d0}}}}}}, {jet}}}"
    with pytest.raises(InputError, match=r"d0 holds the particles of all jets one after the other"):
        read(tmp_path / "jets.h5", two)
