"""Features that a configuration makes of columns, restated in NumPy."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from parttag.errors import InputError
from parttag.jets.arrays import JetArrays, concatenate
from parttag.jets.batch import join_batches, make_batch
from parttag.jets.column_features import ColumnFeature, ColumnName
from parttag.jets.columns import pack_columns
from parttag.jets.feature_lists import resolved_features
from parttag.jets.features import FEATURE_SETS, particle_features
from parttag.jets.jet_features import jet_features
from parttag.options import read_options
from parttag.testing import toy_jets
from parttag.testing.tolerances import FLOAT32_FEATURE

TYPES = ("?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")


def with_columns(jets: JetArrays, columns, jet_columns=None) -> JetArrays:
    packed, types = pack_columns(columns, len(jets.p4))
    jet_packed, jet_types = pack_columns(jet_columns or {}, len(jets))
    return replace(
        jets,
        columns=packed,
        column_types=types,
        jet_columns=jet_packed,
        jet_column_types=jet_types,
    )


def all_types(number: int):
    rng = np.random.default_rng(0)
    return {f"c_{t}": rng.integers(0, 100, size=number).astype(t) for t in TYPES}


def test_columns_of_every_type_go_with_their_particles_and_keep_their_types():
    jets = toy_jets(lengths=[5, 0, 90, 3])
    columns = all_types(len(jets.p4))
    jets = with_columns(jets, columns, all_types(4))
    rows = np.array([3, 2, 2])
    order = np.concatenate([np.arange(*jets.offsets[row : row + 2]) for row in rows])
    taken = concatenate([jets.span(0, 1), jets.take(rows)])
    batch = make_batch(taken)
    batch = join_batches([batch.span(0, 2), batch.take(np.array([2, 3]))])
    for name, values in columns.items():
        expected = np.concatenate([values[:5], values[order]])
        assert taken[name].dtype == values.dtype
        assert np.array_equal(taken[name], expected)
        assert batch.particle_column(name).to(torch.float64).tolist() == expected.tolist()
    of_jets = torch.from_numpy(jets.jet_columns)
    assert torch.equal(batch.jet_columns, of_jets[[0, 3, 2, 2]])
    assert batch.jet_column("c_f2").dtype == torch.float16
    assert not make_batch(jets.without_extras()).particle_column_names


@pytest.mark.parametrize(
    ("transform", "restated"),
    [
        ("none", lambda x: x),
        ("log", np.log),
        ("log1p", np.log1p),
        ("sqrt", np.sqrt),
        ("tanh", np.tanh),
        ("abs", np.abs),
        ("asinh", np.arcsinh),
    ],
)
def test_transforms_are_those_of_numpy_and_what_is_not_finite_counts_as_missing(
    transform, restated
):
    jets = toy_jets(40)
    chi2 = np.random.default_rng(1).normal(size=len(jets.p4)).astype(np.float32)
    chi2[:5] = [np.nan, np.inf, -np.inf, 0, -1]
    jets = with_columns(jets, {"chi2": chi2})
    options = {"column": "chi2", "transform": transform, "centre": 0.5, "scale": 3.0}
    options |= {"clip": [-2, 4], "missing": 0.25}
    name = ColumnName(read_options(ColumnFeature, options))
    values = particle_features(make_batch(jets), ["log_pt", name])[:, 1]
    with np.errstate(all="ignore"):
        expected = restated(chi2.astype(np.float64))
    expected = np.where(np.isfinite(expected), expected, 0.25)
    expected = np.clip((expected - 0.5) * 3, -2, 4)
    torch.testing.assert_close(values, torch.from_numpy(expected).float(), **FLOAT32_FEATURE)


def test_the_features_of_the_table_are_the_same_beside_columns():
    jets = toy_jets(20)
    names = resolved_features(["full", "chi2"])
    assert names[:-1] == FEATURE_SETS["full"]
    chi2 = ColumnName(ColumnFeature(column="chi2", centre=0, scale=1))
    jets_with = with_columns(jets, {"chi2": np.ones(len(jets.p4), np.float16)})
    plain = particle_features(make_batch(jets), "full")
    beside = particle_features(make_batch(jets_with), [*names[:-1], chi2])
    assert torch.equal(beside[:, :-1], plain)
    assert torch.equal(beside[:, -1], torch.ones(len(plain)))


def test_rows_beyond_the_last_particle_are_zero():
    jets = with_columns(toy_jets(3), {"q": np.ones(len(toy_jets(3).p4), np.int8)})
    batch = make_batch(jets)

    def longer(values: Tensor) -> Tensor:
        return torch.cat([values, values[:2]])

    extended = replace(
        batch,
        p4=longer(batch.p4),
        extra=longer(batch.extra),
        columns=longer(batch.columns),
    )
    name = ColumnName(ColumnFeature(column="q", centre=0, scale=1))
    values = particle_features(extended, [name])
    assert values[-2:].tolist() == [[0], [0]]
    assert values[:-2].unique().tolist() == [1]


def jet_name(column: str, **options) -> ColumnName:
    return ColumnName(ColumnFeature(column=column, **options), of_jet=True)


def test_features_of_jets_are_those_of_their_momenta_and_columns():
    jets = toy_jets(lengths=[20] * 30)  # of one particle a mass is rounding
    softdrop = np.linspace(-1, 200, 30).astype(np.float16)
    jets = with_columns(jets, {}, {"softdrop": softdrop})
    given = {"centre": 1.0, "scale": 0.5, "clip": None}
    names = [
        jet_name("log_pt", **given),
        jet_name("log_mass", **given),
        jet_name("eta", **given),
        jet_name("softdrop", transform="log", missing=7.0, **given),
    ]
    assert names == ["jet_log_pt", "jet_log_mass", "jet_eta", "jet_log_softdrop"]
    px, py, pz, energy = jets.jet_p4.astype(np.float64).T
    mass = np.sqrt(energy**2 - px**2 - py**2 - pz**2)
    with np.errstate(all="ignore"):
        log = np.log(softdrop.astype(np.float64))
    columns = [
        np.log(np.hypot(px, py)),
        np.log(mass),
        np.arcsinh(pz / np.hypot(px, py)),
        np.where(np.isfinite(log), log, 7),
    ]
    expected = torch.from_numpy((np.stack(columns, axis=1) - 1) / 2)
    batch = make_batch(jets).to("cpu", torch.float64)
    torch.testing.assert_close(jet_features(batch, names), expected, rtol=1e-6, atol=1e-5)
    beside = particle_features(batch, ["log_pt", *names])
    jet = torch.from_numpy(np.repeat(np.arange(30), jets.lengths))
    assert torch.equal(beside[:, 1:], jet_features(batch, names)[jet])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"column": "a", "scale": 0}, "a scale of 0 leaves nothing"),
        ({"column": "a", "clip": [1, 1]}, "the lower limit must be below the upper one"),
        ({"column": "a", "missing": "nan"}, "missing is 'nan', but must be"),
        ({"column": "a", "transform": "exp"}, "transform is 'exp', but must be 'none', 'log'"),
        ({}, "column: a value is missing"),
    ],
)
def test_wrong_options_are_refused(options, sentence):
    with pytest.raises(InputError, match=sentence):
        read_options(ColumnFeature, options)


def test_what_is_missing_is_said():
    batch = make_batch(toy_jets(3, extra_names=("charge",)))
    with pytest.raises(InputError, match=r"no particle column chi2 \(they have charge\)"):
        particle_features(batch, [ColumnName(ColumnFeature(column="chi2", centre=0, scale=1))])
    with pytest.raises(InputError, match="centre and scale of charge are not known"):
        particle_features(batch, resolved_features([ColumnName(ColumnFeature(column="charge"))]))
    with pytest.raises(InputError, match="the jets have no column softdrop"):
        jet_features(batch, [jet_name("softdrop")])
    with pytest.raises(InputError, match="features: chi2 is there twice"):
        resolved_features(["chi2", "chi2"])
