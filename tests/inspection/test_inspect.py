from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers.files import write_jetclass_root, write_toptagging_h5
from helpers.limits import largest_file
from parttag.data.readers import find_files
from parttag.errors import InputError
from parttag.inspection.duplicates import num_repeated
from parttag.inspection.inspect import by_input, draw, inspect_files, num_common
from parttag.jets.arrays import concatenate
from parttag.jets.variables import JET_VARIABLES, jet_variables
from parttag.testing import toy_jets

NAMES = [variable.name for variable in JET_VARIABLES]


@pytest.fixture
def spoiled(tmp_path) -> Path:
    """A file of 30 jets: three bad ones, one without a label, one with two."""
    jets = toy_jets(30)
    p4, labels = jets.p4.copy(), jets.labels.copy()
    p4[jets.offsets[4]] = np.nan
    p4[jets.offsets[[6, 8]], 3] = -1
    labels[10], labels[12] = 0, 1
    return write_jetclass_root(tmp_path / "in.root", replace(jets, p4=p4, labels=labels))


def test_jets_labels_and_faults_are_counted(spoiled):
    found = inspect_files([spoiled])
    assert (found.num_jets, found.num_bad) == (30, 3)
    assert found.labels == {
        "label_QCD": 15,
        "label_top": 13,
        "no label": 1,
        "several labels": 1,
    }
    assert found.faults == {"non-finite momentum": 1, "negative energy": 2}
    assert len(found.sample) == 27


def test_ranges_and_sample_are_of_the_good_jets(spoiled):
    jets = toy_jets(30)
    good = np.setdiff1d(np.arange(30), [4, 6, 8])
    found = inspect_files([spoiled])
    expected = jet_variables(jets.take(good))
    # The file has pT, η, φ and E of a jet in single precision: hardly a mass for narrow ones.
    others = np.array(NAMES) != "mass"
    np.testing.assert_allclose(
        found.sample.variables[:, others], expected[:, others], rtol=1e-4, atol=1e-4
    )
    for column, variable in enumerate(JET_VARIABLES):
        low, high = found.ranges[variable.name]
        assert low == found.sample.variables[:, column].min()
        assert high == found.sample.variables[:, column].max()
    rows = np.concatenate([np.arange(*jets.offsets[[i, i + 1]]) for i in good])
    for name in ("charge", "d0"):
        values = jets.extra[rows, jets.extra_names.index(name)]
        assert found.ranges[name] == (values.min(), values.max())
    pt = np.hypot(jets.p4[rows, 0], jets.p4[rows, 1])
    assert found.ranges["particle_pt"] == pytest.approx((pt.min(), pt.max()))


def test_chunks_do_not_matter(spoiled):
    whole = inspect_files([spoiled])
    parts = inspect_files([spoiled], step_jets=7)
    assert (parts.labels, parts.faults, parts.ranges) == (whole.labels, whole.faults, whole.ranges)
    np.testing.assert_array_equal(parts.sample.variables, whole.sample.variables)
    np.testing.assert_array_equal(parts.fingerprints[spoiled], whole.fingerprints[spoiled])


def test_repeated_jets_are_found_within_files_and_between_them(tmp_path):
    jets, others = toy_jets(12, seed=1), toy_jets(5, seed=2)
    twice = jets.take(np.array([0, 1, 2, 1, 3, 1, 0]))
    first = write_toptagging_h5(tmp_path / "a.h5", twice)
    second = write_toptagging_h5(
        tmp_path / "b.h5", concatenate([jets.take(np.arange(2, 12)), others])
    )
    alone, together = inspect_files([first]), inspect_files([first, second])
    assert alone.num_repeated == 3
    assert together.num_repeated == 3 + 2
    assert num_common(alone, inspect_files([second])) == 2
    assert num_common(inspect_files([second]), alone) == 2


def test_jets_belong_to_the_input_that_names_their_file_first(tmp_path):
    jets = toy_jets(12, seed=1)
    for name, rows in {"train/a": [0, 1, 2], "train/b": [2, 3], "val": [1, 4], "test": [5]}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_toptagging_h5(tmp_path / f"{name}.h5", jets.take(np.array(rows)))
    patterns = [tmp_path / "train", tmp_path / "*.h5", tmp_path / "val.h5"]
    found = inspect_files(find_files(patterns))
    inputs = by_input(found, patterns)
    assert {name: len(jets) for name, jets in inputs.items()} == {
        str(patterns[0]): 5,
        str(patterns[1]): 3,
    }
    assert num_repeated(inputs[str(patterns[0])]) == 1
    alone = by_input(inspect_files(find_files(patterns[:1])), patterns[:1])
    assert list(alone) == [str(tmp_path / "train" / name) for name in ("a.h5", "b.h5")]


def test_jets_without_particles_are_no_repetition(tmp_path):
    jets = toy_jets(lengths=[3, 0, 0, 2, 0])
    found = inspect_files([write_toptagging_h5(tmp_path / "in.h5", jets)])
    assert found.faults == {"no particles": 3}
    assert found.num_repeated == 0


def test_values_that_are_not_finite_are_counted_by_column_and_kept_out_of_the_ranges(tmp_path):
    jets = toy_jets(6, lengths=[5] * 6)
    p4, extra = jets.p4.copy(), jets.extra.copy()
    p4[[3, 7], 0] = np.nan
    p4[11, 3] = np.inf
    d0 = jets.extra_names.index("d0")
    extra[[1, 2, 8], d0] = np.nan
    path = write_jetclass_root(tmp_path / "in.root", replace(jets, p4=p4, extra=extra))
    found = inspect_files([path])
    counted = {name: found.nonfinite.get(name) for name in ("px", "energy", "d0", "dz")}
    assert counted == {"px": 2, "energy": 1, "d0": 3, "dz": None}
    # The jets of the first 15 particles are bad but for the last of them: 0, 1 and 2.
    good = extra[15:, d0]
    assert found.ranges["d0"] == (good.min(), good.max())
    assert inspect_files([write_jetclass_root(tmp_path / "good.root", jets)]).nonfinite == {}


@pytest.mark.parametrize(
    ("jet_scale", "particle_scale", "expected"),
    [
        (1, 1, None),
        (1000, 1000, "look like MeV: the median jet pT, read as GeV, is 598,592;"),
        (0.001, 0.001, "look like TeV: the median jet pT, read as GeV, is 0.599; multiply"),
        (1000, 1, "one of the two is not in GeV"),
        (1, 1000, "one of the two is not in GeV"),
    ],
)
def test_momenta_in_another_unit_are_noticed(tmp_path, jet_scale, particle_scale, expected):
    jets = toy_jets(30, lengths=[20] * 30)
    scaled = replace(
        jets,
        p4=jets.p4 * np.float32(particle_scale),
        jet_p4=jets.jet_p4 * np.float32(jet_scale),
    )
    found = inspect_files([write_jetclass_root(tmp_path / "in.root", scaled)])
    if expected is None:
        assert found.warnings == ()
    else:
        (warning,) = found.warnings
        assert expected in warning


def test_a_large_sample_is_a_fair_choice_of_all_jets(tmp_path):
    path = write_toptagging_h5(tmp_path / "in.h5", toy_jets(300))
    found = inspect_files([path], step_jets=20, sample_jets=50)
    assert found.num_jets == 300
    assert len(found.sample) == 50
    everything = jet_variables(toy_jets(300))[:, NAMES.index("pt")]
    places = [
        np.abs(everything - pt).argmin() for pt in found.sample.variables[:, NAMES.index("pt")]
    ]
    assert len(set(places)) == 50
    # Uniform over the file: mean 150 with an error of 300/√12/√50 = 12.
    assert 100 < np.mean(places) < 200
    assert min(places) < 40
    assert max(places) > 260


def test_files_without_labels_have_jets_without_label(tmp_path):
    jets = toy_jets(5)
    path = write_jetclass_root(tmp_path / "in.root", jets, without=["label_top", "label_QCD"])
    found = inspect_files([path])
    assert found.labels == {"no label": 5}
    assert found.sample.present == ("no label",)


def test_nothing_but_bad_jets_leaves_no_ranges(tmp_path):
    jets = toy_jets(2)
    bad = replace(jets, p4=np.full_like(jets.p4, -1))
    path = write_jetclass_root(tmp_path / "in.root", bad)
    found = inspect_files([path])
    assert (found.num_jets, found.num_bad, found.ranges) == (2, 2, {})
    assert found.warnings == ()
    assert len(found.sample) == 0


def test_pictures_are_drawn_by_class_and_replaced_only_if_asked(spoiled, tmp_path):
    found = inspect_files([spoiled])
    out = tmp_path / "deep" / "pictures"
    draw(out, {"sample": found, "reference": found})
    pictures = sorted(out.iterdir())
    assert [path.name for path in pictures] == ["mass.png", "num_particles.png", "pt.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in pictures)
    with pytest.raises(InputError, match=r"num_particles.png exists already; add overwrite=True"):
        draw(out, {"sample": found})


def test_a_full_disk_leaves_no_directory_of_pictures(spoiled, tmp_path):
    found = inspect_files([spoiled])
    with largest_file(3000), pytest.raises(InputError, match=r"cannot be written \(file too large"):
        draw(tmp_path / "deep" / "pictures", {"sample": found})
    assert list(tmp_path.iterdir()) == [spoiled]
