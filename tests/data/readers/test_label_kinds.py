"""Labels as texts and as arrays of zeros and ones; particles that the PDG has no number of."""

import awkward as ak
import h5py
import numpy as np
import pytest
import uproot

from helpers.mapped import columns, read
from parttag.errors import InputError

NAMES = np.array(["top", "QCD", "W → qq", "QCD", "other"])
ONES = np.ones((5, 2))
MOMENTUM = "particles: {pt: x, eta: x, phi: x, mass: 0}\n"
TEXTS = (
    MOMENTUM
    + 'labels: {branch: t, values: {label_top: top, label_QCD: [QCD, qcd], label_W: "W → qq"}}'
)
ONE_HOT = MOMENTUM + "labels: {one_hot: t, names: [label_g, label_q, label_t]}"


def hdf5(path, truth):
    with h5py.File(path, "w") as file:
        file["x"] = ONES
        if truth.dtype.kind == "U":
            file.create_dataset("t", data=[str(t) for t in truth], dtype=h5py.string_dtype())
        else:
            file["t"] = truth
    return path


def hdf5_fixed(path, truth):
    return hdf5(path, np.char.encode(truth, "utf-8") if truth.dtype.kind == "U" else truth)


def npz(path, truth):
    with path.open("wb") as file:
        np.savez(file, x=ONES, t=truth)
    return path


def root(path, truth):
    with uproot.recreate(path) as file:
        file["tree"] = {
            "x": ONES,
            "t": ak.Array(truth.tolist()) if truth.dtype.kind == "U" else truth,
        }
    return path


def parquet(path, truth):
    ak.to_parquet(ak.Array({"x": ak.Array(ONES.tolist()), "t": ak.Array(truth.tolist())}), path)
    return path


def dictionary(path, truth):
    import pyarrow as pa
    import pyarrow.parquet as pq

    column = pa.array(truth.tolist())
    if truth.dtype.kind == "U":
        column = column.dictionary_encode()
    pq.write_table(pa.table({"x": ONES.tolist(), "t": column}), path)
    return path


WRITERS = {f.__name__: f for f in (hdf5, hdf5_fixed, npz, root, parquet, dictionary)}


@pytest.mark.parametrize("kind", WRITERS)
def test_labels_may_be_texts(tmp_path, kind):
    jets = read(WRITERS[kind](tmp_path / "a", NAMES), TEXTS, 2)
    assert jets.label_names == ("label_top", "label_QCD", "label_W")
    assert jets.labels.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 1, 0], [0, 0, 0]]


@pytest.mark.parametrize("kind", WRITERS)
def test_texts_and_numbers_are_not_mistaken_for_each_other(tmp_path, kind):
    with pytest.raises(InputError, match=r"t .*(text|string)"):
        read(WRITERS[kind](tmp_path / "a", NAMES), MOMENTUM + "labels: {branch: t, values: {a: 1}}")
    with pytest.raises(InputError, match=r"t .*text"):
        read(WRITERS[kind](tmp_path / "b", np.arange(5)), TEXTS)


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("dtype", ["u1", "f4", "?"])
def test_labels_may_be_rows_of_zeros_and_ones(tmp_path, kind, dtype):
    truth = np.eye(3)[[2, 0, 1, 1, 0]].astype(dtype)
    jets = read(WRITERS[kind](tmp_path / "a", truth), ONE_HOT, 2)
    assert jets.label_names == ("label_g", "label_q", "label_t")
    np.testing.assert_array_equal(jets.labels, truth)
    part = read(WRITERS[kind](tmp_path / "a", truth), ONE_HOT.replace(": t,", ": 't[:, 0:3]',"))
    np.testing.assert_array_equal(part.labels, truth)


@pytest.mark.parametrize(
    ("truth", "message"),
    [
        (np.eye(5)[:, :4], "must hold 3 numbers a jet.* holds 4"),
        (np.full((5, 3), 0.5), "must be 0 or 1, but is 0.5 for jet 0"),
        (np.zeros(5), "must hold a list of numbers"),
    ],
)
def test_rows_that_are_no_labels_are_refused(tmp_path, truth, message):
    with pytest.raises(InputError, match=f"t {message}"):
        read(root(tmp_path / "a.root", truth), ONE_HOT)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("{one_hot: t}", "one_hot and names belong together"),
        ("{branch: t, values: {a: 1}, names: [a]}", "one_hot and names belong together"),
        ("{one_hot: t, names: [a, a]}", "names has a label twice"),
        ("{branch: t, values: {a: 1, b: x}}", "all whole numbers or all texts"),
    ],
)
def test_labels_that_cannot_be_meant_are_refused(labels, message):
    with pytest.raises(InputError, match=message):
        columns(MOMENTUM + f"labels: {labels}")


def particles(tmp_path, numbers, more=""):
    with uproot.recreate(tmp_path / "a.root") as file:
        pt = np.linspace(100, 50, len(numbers))[None]
        branches = {
            "pt": pt,
            "zero": pt * 0,
            "id": np.array([numbers]),
            "m": pt * 0 + 1,
            "q": pt * 0 + 1,
        }
        file["tree"] = branches
    text = "particles: {pt: pt, eta: zero, phi: zero, pdg_id: id" + more + "}"
    return read(tmp_path / "a.root", text)


def test_numbers_of_the_forward_calorimeter_of_cms_are_known(tmp_path):
    jets = particles(tmp_path, [211, 1, 2, 130, 22])
    photon, neutral = (
        jets.extra[:, jets.extra_names.index(f"is_{n}")] for n in ("photon", "neutral_hadron")
    )
    assert photon.tolist() == [0, 0, 1, 0, 1]
    assert neutral.tolist() == [0, 1, 0, 1, 0]
    assert jets.extra[:, jets.extra_names.index("charge")].tolist() == [1, 0, 0, 0, 0]


def test_other_numbers_are_what_the_configuration_says(tmp_path):
    more = ", pdg_map: {0: photon, 7: -211, 1: 22}"
    jets = particles(tmp_path, [0, 7, 1, 2], more)
    photon, charge = (jets.extra[:, jets.extra_names.index(n)] for n in ("is_photon", "charge"))
    assert photon.tolist() == [1, 0, 1, 1]
    assert charge.tolist() == [0, -1, 0, 0]
    charged = particles(tmp_path, [9, 22], ", pdg_map: {9: charged_hadron}, charge: q")
    assert charged.extra[:, charged.extra_names.index("is_charged_hadron")].tolist() == [1, 0]


def test_an_unknown_number_matters_only_where_something_needs_it(tmp_path):
    with pytest.raises(InputError, match=r"PDG number 17, .*pdg_map \(\{17: neutral_hadron\}\)"):
        particles(tmp_path, [211, 17], ", mass: m, charge: q")
    kinds = "".join(
        f", is_{k}: zero"
        for k in ("charged_hadron", "neutral_hadron", "photon", "electron", "muon")
    )
    jets = particles(tmp_path, [211, 17], ", mass: m, charge: q" + kinds)
    assert jets.lengths.tolist() == [2]


@pytest.mark.parametrize(
    ("pdg_map", "message"),
    [
        ("{9: electron}", "whose charge is not known"),
        ("{9: 17}", "9 stands for 17, which is not known"),
        ("{9: higgs}", "pdg_map"),
    ],
)
def test_maps_that_say_nothing_are_refused(pdg_map, message):
    with pytest.raises(InputError, match=message):
        columns(f"particles: {{pt: a, eta: b, phi: c, pdg_id: d, pdg_map: {pdg_map}}}")
