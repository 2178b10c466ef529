"""``columns.derived``: what formulas give reaches every place that names a branch."""

from pathlib import Path

import awkward as ak
import h5py
import numpy as np
import pytest

from helpers.files import write_root
from parttag.data.jet_files import JetFiles
from parttag.data.readers.columns import ColumnsOptions
from parttag.data.readers.derived import DerivedColumns
from parttag.data.readers.expressions import Expression
from parttag.errors import InputError
from parttag.options import read_options

RNG = np.random.default_rng(1)
LENGTHS = np.array([3, 1, 4, 2])


def lists(values) -> ak.Array:
    return ak.unflatten(np.asarray(values), LENGTHS)


PT = np.sort(RNG.exponential(30, LENGTHS.sum()))[::-1] + 1
BRANCHES = {
    "pt_mev": lists(PT * 1000),
    "theta": lists(RNG.uniform(0.5, 2.5, len(PT))),
    "phi": lists(RNG.uniform(-3, 3, len(PT))),
    "chi2": lists(RNG.exponential(2, len(PT))),
    "kind": np.array([5, 4, 5, 21]),
    "weight": np.array([1.0, 2.0, 0.5, 1.5]),
    "lumi": np.array([2.0, 2.0, 4.0, 4.0]),
}
COLUMNS = {
    "derived": {
        "eta": "-log(tan(theta / 2))",
        "is_b": "kind == 5",
        "is_other": "~is_b",
        "normed": "weight / lumi",
        "share": "pt_mev / ak.sum(pt_mev, axis=1)",
        "num_good": "ak.sum(chi2 < 2, axis=1)",
    },
    "particles": {
        "pt": "pt_mev",
        "eta": "eta",
        "phi": "phi",
        "mass": 0,
        "unit": "MeV",
        "extra": {"share": "share"},
    },
    "labels": {"branches": {"label_b": "is_b", "label_other": "is_other"}},
    "jet_weight": "normed",
    "jet_extra": {"good": "num_good"},
}


def expect(jets) -> None:
    theta = ak.flatten(BRANCHES["theta"]).to_numpy()
    pt = PT
    px = pt * np.cos(ak.flatten(BRANCHES["phi"]).to_numpy())
    pz = pt / np.tan(theta)
    order = np.concatenate(
        [
            np.argsort(-own, kind="stable") + start
            for own, start in zip(
                np.split(pt, np.cumsum(LENGTHS)[:-1]), np.cumsum(LENGTHS) - LENGTHS, strict=True
            )
        ]
    )
    np.testing.assert_allclose(jets.p4[:, 0], px[order], rtol=1e-5)
    np.testing.assert_allclose(jets.p4[:, 2], pz[order], rtol=1e-5)
    assert jets.labels.tolist() == [[1, 0], [0, 1], [1, 0], [0, 1]]
    np.testing.assert_allclose(jets.jet_weights, [0.5, 1, 0.125, 0.375])
    sums = np.repeat(np.add.reduceat(pt, np.cumsum(LENGTHS) - LENGTHS), LENGTHS)
    np.testing.assert_allclose(jets["share"], (pt / sums)[order], rtol=1e-12)
    good = ak.sum(BRANCHES["chi2"] < 2, axis=1).to_list()
    assert jets["good"].tolist() == good


@pytest.mark.parametrize("kind", ["ttree", "rntuple", "parquet"])
def test_momenta_labels_weights_and_columns_may_be_formulas(tmp_path, kind):
    if kind == "parquet":
        path = tmp_path / "jets.parquet"
        ak.to_parquet(ak.zip(BRANCHES, depth_limit=1), path)
    else:
        path = write_root(tmp_path / "jets.root", BRANCHES, rntuple=kind == "rntuple")
    expect(JetFiles([path], read_options(ColumnsOptions, COLUMNS)).read())


def test_rows_of_as_many_slots_as_there_are_jets_are_not_taken_for_jets(tmp_path):
    # Four jets of four slots: a number a jet must not be spread over the slots' axis.
    slots = ak.fill_none(ak.pad_none(BRANCHES["pt_mev"], 4), 0).to_numpy()
    with h5py.File(tmp_path / "jets.h5", "w") as file:
        for name in ("px", "py", "pz"):
            file[name] = slots
        file["lumi"] = BRANCHES["lumi"]
    columns = {
        "derived": {"scaled": "px / lumi"},
        "particles": {"px": "px", "py": "py", "pz": "pz", "mass": 0, "extra": {"scaled": "scaled"}},
    }
    jets = JetFiles([tmp_path / "jets.h5"], read_options(ColumnsOptions, columns)).read()
    per_jet = np.repeat(BRANCHES["lumi"], LENGTHS)
    np.testing.assert_allclose(jets["scaled"], jets.p4[:, 0] / per_jet, rtol=1e-6)


def test_what_is_not_wanted_is_not_read(tmp_path):
    path = write_root(tmp_path / "jets.root", BRANCHES)
    columns = {**COLUMNS, "derived": {**COLUMNS["derived"], "other": "not_there + 1"}}
    expect(JetFiles([path], read_options(ColumnsOptions, columns)).read())


@pytest.mark.parametrize("suffix", [".root", ".h5"])
def test_the_momentum_itself_may_be_a_formula(tmp_path, suffix):
    columns = {
        "derived": {"pt": "pt_mev[pt_mev > 0] / 1000", "eta": "0 * pt_mev"},
        "particles": {"pt": "pt", "eta": "eta", "phi": "phi", "mass": 0},
    }
    path = tmp_path / f"jets{suffix}"
    if suffix == ".root":
        write_root(path, BRANCHES)
    else:
        with h5py.File(path, "w") as file:
            for name in ("pt_mev", "phi"):
                rows = ak.to_numpy(ak.fill_none(ak.pad_none(BRANCHES[name], 2, clip=True), 1.0))
                file[name] = rows
    jets = JetFiles([path], read_options(ColumnsOptions, columns)).read()
    assert len(jets) == len(BRANCHES["kind"])
    pt = np.hypot(jets.p4[:, 0], jets.p4[:, 1])
    expected = PT if suffix == ".root" else ak.to_numpy(ak.flatten(file_rows(BRANCHES["pt_mev"])))
    np.testing.assert_allclose(pt, expected, rtol=1e-6)
    np.testing.assert_allclose(jets.p4[:, 2], 0, atol=1e-5)


def file_rows(branch):
    return ak.fill_none(ak.pad_none(branch, 2, clip=True), 1.0) / 1000


def test_a_formula_may_have_the_name_of_the_branch_that_it_reads():
    derived = DerivedColumns({"x": "x * 2", "y": "x + 1"})
    assert derived.sources(["y"]) == {"x": "x"}
    found = derived.added({"x": ak.Array([1.0, 2.0])}, Path("file"))
    assert found["y"].to_list() == [3, 5]


@pytest.mark.parametrize(
    ("derived", "message"),
    [
        ({"a": "b", "b": "c", "c": "a"}, "derived: a → b → c → a need each other in a circle"),
        ({"a": "open('x')"}, r"derived\.a: .* the function open"),
    ],
)
def test_formulas_that_cannot_be_are_refused_with_the_configuration(derived, message):
    with pytest.raises(InputError, match=message):
        read_options(ColumnsOptions, {**COLUMNS, "derived": {**COLUMNS["derived"], **derived}})


@pytest.mark.parametrize(
    ("name", "formula", "message"),
    [
        (
            "share",
            "pt_mevv / 2",
            r"no branch pt_mevv; the nearest is pt_mev: correct .*derived\.share",
        ),
        ("share", "1 + 1", r"derived\.share has not one entry for each"),
        ("share", "pt_mev[:, 7]", r"derived\.share: pt_mev\[:, 7\] cannot be computed"),
        ("share", "ak.sum(pt_mev, axis=1)", "share|list of numbers"),
    ],
)
def test_formulas_that_the_file_does_not_fit_are_one_sentence(tmp_path, name, formula, message):
    path = write_root(tmp_path / "jets.root", BRANCHES)
    columns = {**COLUMNS, "derived": {**COLUMNS["derived"], name: formula}}
    with pytest.raises(InputError, match=message):
        JetFiles([path], read_options(ColumnsOptions, columns)).read()


FLAT = {
    "lists": lists(RNG.normal(size=len(PT)).astype(np.float32)),
    "others": lists(RNG.integers(0, 9, len(PT)).astype(np.int16)),
    "of_jets": np.array([1.0, -2.0, 0.5, 3.0], dtype=np.float32),
}


@pytest.mark.parametrize(
    "formula",
    [
        "lists * 2",
        "log(abs(lists) / abs(of_jets))",
        "where(lists > of_jets, others, -1.5)",
        "lists if others > 4 else 0.0",
        "(others > 3) & ~(lists < 0)",
        "clip(lists, -0.5, 0.5) ** 2",
        "others // 2 + of_jets",
    ],
)
def test_formulas_of_flat_numbers_are_those_of_the_lists(formula):
    """Those without functions of lists are computed of what the lists hold, to the same bits."""
    branches = {name: ak.Array(values) for name, values in FLAT.items()}
    expression = Expression(formula)
    assert expression.is_elementwise
    found = DerivedColumns({"new": formula}).added(branches, Path("file"))["new"]
    direct = expression(branches)
    assert found.type == direct.type
    np.testing.assert_array_equal(ak.flatten(found), ak.flatten(direct))
    # Of a part of a file, whose lists begin somewhere.
    part = {name: array[1:3] for name, array in branches.items()}
    some = DerivedColumns({"new": formula}).added(part, Path("file"))["new"]
    assert some.to_list() == found[1:3].to_list()


def test_functions_of_lists_are_no_matter_of_flat_numbers():
    for formula in ("ak.sum(x, axis=1)", "x[:, 0]", "x / ak.max(x, axis=1)", "zeros_like(x)"):
        assert not Expression(formula).is_elementwise


def test_what_is_taken_apart_once_is_put_together_for_each_formula():
    """Of lists of two kinds, numbers of entries, and names that are derived and read again."""
    other = ak.unflatten(np.arange(6.0), [0, 2, 4, 0])
    branches = {
        "pt": lists(PT)[::-1][::-1],  # no longer from the first place of its buffer on
        "track_pt": other,
        "weight": ak.Array(BRANCHES["weight"]),
        "slots": ak.to_regular(ak.Array(np.arange(8.0).reshape(4, 2))),
    }
    derived = DerivedColumns(
        {
            "scaled": "pt * weight",
            "tracks": "track_pt * weight",
            "weight": "2 * weight",
            "again": "log(scaled) + pt",
            "share": "again / ak.sum(again, axis=1)",
            "slot": "slots - weight",
            "log_pt": "log(pt)",
            "mixed": "ak.num(track_pt) + weight",
        }
    )
    found = derived.added(branches, Path())
    weight = 2 * BRANCHES["weight"]
    expected = {
        "weight": weight,
        "scaled": lists(PT * np.repeat(weight, LENGTHS)),
        "tracks": ak.unflatten(np.arange(6.0) * np.repeat(weight, [0, 2, 4, 0]), [0, 2, 4, 0]),
        "again": lists(np.log(PT * np.repeat(weight, LENGTHS)) + PT),
        "slot": np.arange(8.0).reshape(4, 2) - weight[:, None],
        "log_pt": lists(np.log(PT)),
        "mixed": np.array([0, 2, 4, 0]) + weight,
    }
    expected["share"] = expected["again"] / ak.sum(expected["again"], axis=1)
    assert set(found) == {*branches, *expected}
    for name, values in expected.items():
        assert found[name].tolist() == ak.Array(values).tolist(), name
    assert found["pt"].tolist() == branches["pt"].tolist()
