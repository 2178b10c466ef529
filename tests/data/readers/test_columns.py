"""``data.columns``: files of any names and units, through YAML alone, to the same jets."""

from dataclasses import replace

import awkward as ak
import h5py
import numpy as np
import pytest
import uproot
import yaml

from helpers.files import write_jetclass_root, write_root, write_toptagging_h5
from helpers.foreign import EXTRAS, FOREIGN, coordinates, foreign_branches, massive
from parttag.data.readers import count_jets, read_branches, read_chunks
from parttag.data.readers.column_layout import ColumnLayout
from parttag.data.readers.columns import ColumnsOptions
from parttag.errors import InputError
from parttag.jets.arrays import EXTRA_NAMES, JetArrays
from parttag.jets.batch import make_batch
from parttag.jets.features import particle_features
from parttag.jets.validity import valid_jets
from parttag.options import Options, read_options
from parttag.testing import toy_jets


class _Section(Options):
    columns: ColumnsOptions


def columns(text: str) -> ColumnsOptions:
    return read_options(_Section, {"columns": yaml.safe_load(text)}).columns


def layout(text: str, **kwargs: bool) -> ColumnLayout:
    return ColumnLayout(columns(text), **kwargs)


def write_parquet(path, branches):
    ak.to_parquet(ak.zip(dict(branches), depth_limit=1), path)
    return path


def read(path, text: str, **kwargs: bool) -> JetArrays:
    (jets,) = read_chunks(path, layout=layout(text, **kwargs))
    return jets


def write_foreign_root(path, branches, **kwargs):
    return write_root(path, branches, tree="analysis/Nominal", **kwargs)


WRITERS = {
    "root": write_foreign_root,
    "rntuple": lambda path, branches: write_root(path, branches, tree="Nominal", rntuple=True),
    "parquet": write_parquet,
}


@pytest.mark.parametrize("kind", WRITERS)
def test_a_foreign_ntuple_gives_the_tensors_that_jetclass_names_give(tmp_path, kind):
    toys = massive(toy_jets(30))
    keep = [toys.extra_names.index(name) for name in EXTRAS]
    expected = replace(toys, extra=toys.extra[:, keep], extra_names=EXTRAS)
    own = write_jetclass_root(tmp_path / "own.root", expected, without=["part_deta", "part_dphi"])
    (jetclass,) = read_chunks(own)
    path = WRITERS[kind](tmp_path / f"foreign.{kind}", foreign_branches(toys))
    text = FOREIGN if kind != "rntuple" else FOREIGN.replace("analysis/", "")
    foreign = read(path, text)
    np.testing.assert_allclose(foreign.p4, jetclass.p4, rtol=2e-7, atol=1e-7)
    np.testing.assert_allclose(foreign.jet_p4, jetclass.jet_p4, rtol=1e-6, atol=1e-4)
    np.testing.assert_allclose(foreign.extra, jetclass.extra, rtol=2e-7)
    for name in ("offsets", "labels", "label_names", "extra_names", "index"):
        np.testing.assert_array_equal(getattr(foreign, name), getattr(jetclass, name))
    np.testing.assert_allclose(foreign.jet_weights, np.linspace(0.5, 1.5, 30), rtol=1e-7)
    features = [particle_features(make_batch(jets), "kin").numpy() for jets in (foreign, jetclass)]
    np.testing.assert_allclose(*features, atol=2e-5)


def test_the_rows_to_keep_are_those_of_the_tree_that_is_read(tmp_path):
    path = write_foreign_root(tmp_path / "a.root", foreign_branches(toy_jets(4)))
    kept = read_branches(path, ["eventNumber"], layout(FOREIGN))
    assert kept["eventNumber"].to_list() == [0, 1, 2, 3]


MOMENTA = {
    "px, py, pz, energy": ("px", "py", "pz", "energy"),
    "px, py, pz, mass": ("px", "py", "pz", "mass"),
    "pt, eta, phi, energy": ("pt", "eta", "phi", "energy"),
    "pt, eta, phi, mass": ("pt", "eta", "phi", "mass"),
    "pt, rapidity, phi, mass": ("pt", "rapidity", "phi", "mass"),
    "pt, rapidity, phi, energy": ("pt", "rapidity", "phi", "energy"),
}


@pytest.mark.parametrize("names", MOMENTA.values(), ids=MOMENTA)
def test_every_choice_of_coordinates_gives_the_same_momenta(tmp_path, names):
    toys = massive(toy_jets(12))
    values = coordinates(toys.p4)
    branches = {f"p_{name}": ak.unflatten(values[name], toys.lengths) for name in names}
    path = write_parquet(tmp_path / "a.parquet", branches)
    jets = read(path, yaml.safe_dump({"particles": {name: f"p_{name}" for name in names}}))
    np.testing.assert_allclose(jets.p4, toys.p4, rtol=1e-6, atol=1e-5)
    np.testing.assert_array_equal(jets.offsets, toys.offsets)
    assert valid_jets(jets).all()
    assert (jets.labels.shape, jets.extra_names) == ((12, 0), ())


def one_jet(tmp_path, particles: dict, text: str) -> JetArrays:
    """Return what a parquet file of one jet gives."""
    path = write_parquet(tmp_path / "one.parquet", {k: ak.Array([v]) for k, v in particles.items()})
    return read(path, text)


@pytest.mark.parametrize(
    ("unit", "gev"), [("eV", 1e-9), ("keV", 1e-6), ("MeV", 1e-3), ("TeV", 1e3), (0.25, 0.25)]
)
def test_units_are_names_or_how_many_gev_they_are(tmp_path, unit, gev):
    text = f"particles: {{px: x, py: y, pz: z, mass: 2.0, unit: {unit}}}"
    jets = one_jet(tmp_path, {"x": [3.0], "y": [4.0], "z": [0.0]}, text)
    np.testing.assert_allclose(jets.p4[0] / gev, [3, 4, 0, np.sqrt(29)], rtol=1e-6)


def test_lengths_come_in_millimeters(tmp_path):
    for unit, mm in (("um", 1e-3), ("µm", 1e-3), ("cm", 10), (2.5, 2.5)):
        text = f"particles: {{px: x, py: x, pz: x, mass: 0, d0: ip, length_unit: {unit}}}"
        jets = one_jet(tmp_path, {"x": [1.0], "ip": [4.0]}, text)
        np.testing.assert_allclose(jets.extra, [[4 * mm]], rtol=1e-6)


def test_the_pdg_number_gives_mass_charge_and_flags_unless_a_branch_does(tmp_path):
    text = "particles: {pt: pt, eta: eta, phi: phi, pdg_id: id, charge: q}"
    particles = {"pt": [3.0, 2.0], "eta": [0.0, 0.0], "phi": [0.0, 0.0], "id": [-211, 22]}
    jets = one_jet(tmp_path, {**particles, "q": [7.0, 0.0]}, text)
    np.testing.assert_allclose(jets.p4[:, 3], [np.hypot(3, 0.13957039), 2], rtol=1e-7)
    assert jets.extra_names == EXTRA_NAMES[:6]
    assert jets.extra.tolist() == [[7, 1, 0, 0, 0, 0], [0, 0, 0, 1, 0, 0]]
    with pytest.raises(
        InputError, match=r"one\.parquet: a particle of jet 0 has the PDG number 5,"
    ):
        one_jet(tmp_path, {**particles, "id": [5, 22], "q": [0.0, 0.0]}, text)


def test_particles_are_put_in_order_of_falling_pt(tmp_path):
    text = "particles: {px: x, py: y, pz: y, mass: 0, charge: q}"
    jets = one_jet(tmp_path, {"x": [1.0, 3.0, 2.0], "y": [0.0] * 3, "q": [1, 2, 3]}, text)
    assert jets.p4[:, 0].tolist() == [3, 2, 1]
    assert jets.extra[:, 0].tolist() == [2, 3, 1]


def padded(jets: JetArrays, slots: int = 45, fill: float = 0.0) -> dict[str, np.ndarray]:
    """Return pt, eta, phi, charge as rows of slots, in which no particle stands where it should."""
    values = coordinates(jets.p4)
    jet = np.repeat(np.arange(len(jets)), jets.lengths)
    slot = np.arange(len(jets.p4)) - np.repeat(jets.offsets[:-1], jets.lengths)
    columns = {"pt": values["pt"], "eta": values["eta"], "phi": values["phi"]}
    columns |= {"energy": values["energy"], "q": jets.extra[:, 0]}
    table = {name: np.full((len(jets), slots), fill) for name in columns}
    for name, column in columns.items():
        table[name][jet, slot] = column
    real = np.zeros((len(jets), slots), dtype=bool)
    real[jet, slot] = True
    return {**table, "valid": real}


PADDED = "particles: {pt: pt, eta: eta, phi: phi, energy: energy, charge: q%s}"


def write_hdf5(path, datasets):
    with h5py.File(path, "w") as file:
        for name, values in datasets.items():
            file[name] = values
    return path


def write_padded_root(path, branches):
    return write_root(path, {name: np.asarray(value) for name, value in branches.items()})


@pytest.mark.parametrize("write", [write_hdf5, write_padded_root, write_parquet])
@pytest.mark.parametrize("how", ["zeros", "mask", "count"])
def test_padded_rows_are_read_without_their_padding(tmp_path, write, how):
    toys = toy_jets(9)
    fill = {"zeros": 0.0, "mask": np.nan, "count": -999.0}[how]
    branches = {**padded(toys, fill=fill), "n": toys.lengths}
    more = {"zeros": "", "mask": ", mask: valid", "count": ", count: n"}[how]
    jets = read(write(tmp_path / "a.dat", branches), PADDED % more)
    np.testing.assert_array_equal(jets.offsets, toys.offsets)
    np.testing.assert_allclose(jets.p4, toys.p4, rtol=1e-6, atol=1e-5)
    np.testing.assert_array_equal(jets.extra[:, 0], toys.extra[:, 0])


def test_hdf5_may_hold_compound_datasets_in_groups(tmp_path):
    toys = toy_jets(7)
    branches = padded(toys)
    tracks = np.zeros((7, 45), dtype=[(name, value.dtype) for name, value in branches.items()])
    for name, value in branches.items():
        tracks[name] = value
    jet = np.zeros(7, dtype=[("flavour", "<i4")])
    jet["flavour"] = np.where(toys.labels[:, 0], 6, [21, 1, 2, 3, 21, 1, 2])
    path = write_hdf5(tmp_path / "a.h5", {"data/tracks": tracks, "data/jets": jet})
    text = PADDED % ", mask: valid"
    for name in ("pt", "eta", "phi", "energy", "q", "valid"):
        text = text.replace(f": {name}", f": data/tracks/{name}", 1)
    text += (
        "\nlabels: {branch: data/jets/flavour, values: {label_top: 6, label_QCD: [21, 1, 2, 3]}}"
    )
    chunks = list(read_chunks(path, layout=layout(text), chunk_jets=3))
    assert [len(chunk) for chunk in chunks] == [3, 3, 1]
    assert count_jets(path, layout(text)) == 7
    np.testing.assert_array_equal(np.concatenate([c.labels for c in chunks]), toys.labels)
    np.testing.assert_allclose(
        np.concatenate([c.p4 for c in chunks]), toys.p4, rtol=1e-6, atol=1e-5
    )


@pytest.mark.parametrize("how", ["one after the other", "variable length"])
def test_hdf5_may_hold_jagged_datasets(tmp_path, how):
    toys = toy_jets(8, lengths=[3, 1, 0, 5, 2, 2, 9, 1])
    names = ("px", "py", "pz", "energy")
    datasets = {name: toys.p4[:, i] for i, name in enumerate(names)}
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        for name, values in datasets.items():
            if how == "one after the other":
                file[name] = values
                continue
            dataset = file.create_dataset(name, 8, dtype=h5py.vlen_dtype(np.float32))
            for row, part in enumerate(np.split(values, toys.offsets[1:-1])):
                dataset[row] = part
        file["n"] = toys.lengths
        file["event"] = np.arange(8)
    count = ", count: n" if how == "one after the other" else ""
    text = f"particles: {{px: px, py: py, pz: pz, energy: energy{count}}}"
    chunks = list(read_chunks(path, layout=layout(text), chunk_jets=3))
    assert [len(chunk) for chunk in chunks] == [3, 3, 2]
    np.testing.assert_array_equal(np.concatenate([c.p4 for c in chunks]), toys.p4)
    np.testing.assert_array_equal(np.concatenate([c.lengths for c in chunks]), toys.lengths)
    kept = read_branches(path, ["event", "px"], layout(text))
    assert kept["event"].to_list() == list(range(8))
    assert kept["px"].to_list() == ak.unflatten(toys.p4[:, 0], toys.lengths).to_list()


def test_top_tagging_files_are_read_as_what_they_are_whatever_the_columns(tmp_path):
    toys = toy_jets(3)
    jets = read(write_toptagging_h5(tmp_path / "a.h5", toys), FOREIGN)
    np.testing.assert_array_equal(jets.p4, toys.p4)


# ------------------------------------------------------------------------------------------ labels

XYZ = {"x": ak.Array([[1.0]] * 4)}
MASSLESS = "particles: {px: x, py: x, pz: x, mass: 0}\n"


def test_an_integer_branch_names_the_label_of_each_value(tmp_path):
    branches = {**XYZ, "truth": np.array([6, 21, 3, -1], dtype=np.int16)}
    path = write_root(tmp_path / "a.root", branches)
    labels = "labels: {branch: truth, values: {label_top: 6, label_QCD: [3, 21]}}"
    jets = read(path, MASSLESS + labels)
    assert jets.label_names == ("label_top", "label_QCD")
    assert jets.labels.tolist() == [[1, 0], [0, 1], [0, 1], [0, 0]]


BY_FILE = MASSLESS + 'labels: {files: {label_top: "*tt*.root", label_QCD: ["*jj*", "*/qcd/*"]}}'


@pytest.mark.parametrize(
    ("name", "labels"), [("my_ttbar.root", [1, 0]), ("jj.root", [0, 1]), ("qcd/a.root", [0, 1])]
)
def test_the_name_of_the_file_gives_the_label(tmp_path, name, labels):
    (tmp_path / "qcd").mkdir()
    jets = read(write_root(tmp_path / name, XYZ), BY_FILE)
    assert jets.labels.tolist() == [labels] * 4


@pytest.mark.parametrize(
    ("name", "which"), [("other.root", "none"), ("ttjj.root", "those of label_top and label_QCD")]
)
def test_a_file_of_no_label_or_of_two_is_named(tmp_path, name, which):
    path = write_root(tmp_path / name, XYZ)
    with pytest.raises(InputError, match=f"{name}: of the patterns in .*files, {which} match"):
        read(path, BY_FILE)


def test_jets_to_score_may_lack_all_truth_but_not_half_of_it(tmp_path):
    branches = foreign_branches(toy_jets(4))
    without = {n: b for n, b in branches.items() if n not in ("isTop", "isDijet", "mcWeight")}
    path = write_foreign_root(tmp_path / "a.root", without)
    jets = read(path, FOREIGN, truth_optional=True)
    assert jets.label_names == ()
    assert jets.jet_weights.tolist() == [1, 1, 1, 1]
    with pytest.raises(InputError, match="has no branch isTop in its tree"):
        read(path, FOREIGN)
    half = write_foreign_root(tmp_path / "b.root", {**without, "isTop": branches["isTop"]})
    with pytest.raises(InputError, match="has no branch isDijet in its tree"):
        read(half, FOREIGN, truth_optional=True)
    other = write_root(tmp_path / "other.root", XYZ)
    assert read(other, BY_FILE, truth_optional=True).labels.tolist() == [[0, 0]] * 4


def test_labels_and_weights_can_be_said_of_jetclass_files_alone(tmp_path):
    toys = toy_jets(6)
    more = {"kind": np.array([3, 7, 3, 7, 3, 9]), "w": np.linspace(0, 1, 6)}
    path = write_jetclass_root(tmp_path / "a.root", toys, replaced=more)
    jets = read(path, "labels: {branch: kind, values: {signal: 3, other: [7]}}\njet_weight: w")
    (own,) = read_chunks(path)
    for name in ("p4", "extra", "jet_p4", "jet_axis", "offsets"):
        np.testing.assert_array_equal(getattr(jets, name), getattr(own, name))
    assert jets.label_names == ("signal", "other")
    assert jets.labels.argmax(axis=1).tolist() == [0, 1, 0, 1, 0, 0]
    assert jets.labels.sum(axis=1).tolist() == [1, 1, 1, 1, 1, 0]
    np.testing.assert_allclose(jets.jet_weights, more["w"], rtol=1e-7)
    with pytest.raises(InputError, match=r"a\.h5: name the datasets of the particles"):
        read(write_hdf5(tmp_path / "a.h5", {"w": np.ones(3)}), "jet_weight: w")


# ---------------------------------------------------------------------------------------- refusals


def test_a_missing_branch_is_named_with_the_nearest_and_the_tree(tmp_path):
    branches = foreign_branches(toy_jets(2))
    branches["constit_pT"] = branches.pop("constit_pt")
    path = write_foreign_root(tmp_path / "a.root", branches)
    message = (
        r"a\.root has no branch constit_pt in its tree analysis/Nominal; the nearest is "
        r"constit_pT: correct data\.columns\.particles\.pt"
    )
    with pytest.raises(InputError, match=message):
        read(path, FOREIGN)


def test_a_missing_tree_is_named_with_those_there_are(tmp_path):
    path = write_root(tmp_path / "a.root", foreign_branches(toy_jets(2)), tree="Other")
    with pytest.raises(InputError, match=r"no TTree named analysis/Nominal but Other: correct"):
        read(path, FOREIGN)


@pytest.mark.parametrize("weight", [np.nan, np.inf])
def test_a_weight_that_cannot_be_one_is_named(tmp_path, weight):
    branches = foreign_branches(toy_jets(3))
    branches["mcWeight"] = np.array([1.0, 1.0, weight])
    path = write_foreign_root(tmp_path / "a.root", branches)
    with pytest.raises(InputError, match=r"mcWeight is .* for jet 2, but a weight must be finite"):
        read(path, FOREIGN)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("particles: {pt: a, eta: b, mass: 0}", "there are eta, pt"),
        ("particles: {px: a, py: b, pz: c, pt: d, mass: 0}", "name the branches of px, py and pz"),
        ("particles: {px: a, py: b, pz: c}", "energy or mass is missing"),
        ("particles: {px: a, py: b, pz: c, mass: m, energy: e}", "energy or mass, not both"),
        ("particles: {px: a, py: b, pz: c, mass: 0, unit: GEV}", "unit is 'GEV', but must be"),
        ("particles: {px: a, py: b, pz: c, mass: 0, unit: 0}", "unit is 0, but must be"),
        ("particles: {px: a, py: b, pz: c, mass: 0, chrage: q}", "nearest known one is .*charge"),
        (MASSLESS + "jet: {pt: a, eta: b, phi: c}", "name one of energy and mass"),
        (
            MASSLESS + "labels: {branches: {a: b}, files: {a: c}}",
            "one of branches, values, one_hot",
        ),
        (MASSLESS + "labels: {branch: a}", "give one of branches, values, one_hot and files"),
        (MASSLESS + "labels: {values: {a: 1}}", "branch and values belong together"),
        ("jet: {pt: a, eta: b, phi: c, mass: m}", "jet is given without particles"),
    ],
)
def test_columns_that_make_no_jets_are_refused_by_key(text, message):
    with pytest.raises(InputError, match=message):
        columns(text)


def test_an_hdf5_dataset_of_another_length_is_named(tmp_path):
    path = write_hdf5(tmp_path / "a.h5", {**padded(toy_jets(4)), "w": np.ones(3)})
    with pytest.raises(InputError, match=r"a\.h5: [a-z]+ has 4 rows and w 3, but both"):
        read(path, PADDED % "" + "\njet_weight: w")


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ([3, 3], "counts 6 particles, but there are 5"),
        ([-1, 6], "one whole number, 0 or more"),
        ([2.0, 3.0], "one whole number"),
    ],
)
def test_counts_that_do_not_cut_the_particles_into_jets_are_named(tmp_path, counts, message):
    path = write_hdf5(tmp_path / "a.h5", {"x": np.ones(5), "n": np.array(counts)})
    with pytest.raises(InputError, match=f"a.h5: n .*{message}"):
        read(path, "particles: {px: x, py: x, pz: x, mass: 0, count: n}")


def test_three_dimensional_datasets_are_refused(tmp_path):
    path = write_hdf5(tmp_path / "a.h5", {"x": np.ones((5, 3, 4))})
    with pytest.raises(InputError, match=r"x is of shape \(5, 3, 4\).* as in x\[:, :, 0\]"):
        read(path, "particles: {px: x, py: x, pz: x, mass: 0}")


def test_without_columns_a_foreign_file_is_told_of_them(tmp_path):
    root = write_foreign_root(tmp_path / "a.root", foreign_branches(toy_jets(2)))
    hdf5 = write_hdf5(tmp_path / "a.h5", padded(toy_jets(2)))
    for path in (root, hdf5):
        with pytest.raises(InputError, match=r"say what .* mean in data\.columns \(columns\)"):
            list(read_chunks(path))


def test_trees_may_lie_in_directories(tmp_path):
    path = write_foreign_root(tmp_path / "a.root", foreign_branches(toy_jets(2)))
    with uproot.open(path) as file:
        assert file.keys(cycle=False, recursive=True) == ["analysis", "analysis/Nominal"]
    assert count_jets(path, layout(FOREIGN)) == 2
