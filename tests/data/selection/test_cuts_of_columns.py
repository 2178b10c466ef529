"""``data.cuts.columns``, ``data.test_cuts`` and ``data.reweight`` by columns of the jets."""

import numpy as np
import pytest

import parttag
from helpers.files import write_jetclass_root
from parttag.data.jet_files import JetFiles
from parttag.data.loading.dataset import open_dataset
from parttag.data.preparation.prepare import prepare
from parttag.data.readers.columns import ColumnsOptions
from parttag.data.readers.more_columns import WantedColumns
from parttag.data.selection.cuts import CutOptions
from parttag.data.selection.reweight import JetSpectra, ReweightOptions
from parttag.errors import InputError
from parttag.options import read_options
from parttag.testing import toy_jets

CLASSES = {"top": ["label_top"], "QCD": ["label_QCD"]}
COLUMNS = read_options(ColumnsOptions, {"derived": {"even": "(number % 4 < 2) & (jet_pt > 0)"}})
CUTS = read_options(CutOptions, {"columns": {"even": {"min": 1}, "number": [None, 49]}})


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("cuts") / "jets.root"
    return write_jetclass_root(
        path, toy_jets(80, 4), replaced={"number": np.arange(80), "other": np.ones(80)}
    )


@pytest.mark.parametrize("wanted", [None, WantedColumns(jets=("other",))])
def test_jets_are_cut_by_branches_and_formulas_of_files_and_stores(path, tmp_path, wanted):
    files = JetFiles(path, COLUMNS, CUTS, wanted=wanted)
    jets = open_dataset(files, CLASSES)
    assert len(jets) == 26
    assert {"outside columns.even [1, ]", "outside columns.number [, 49]"} <= set(
        jets.counts.dropped
    )
    if wanted is None:
        prepare([path], tmp_path / "store", columns=COLUMNS, cuts=CUTS)
        store = open_dataset(JetFiles(tmp_path / "store", None, CUTS), CLASSES)
        kept = [number for number in range(50) if number % 4 < 2]
        assert sorted(store.read([(0, len(store))])["number"].tolist()) == kept


def test_a_column_that_a_store_lacks_is_said(path, tmp_path):
    prepare([path], tmp_path / "store")
    with pytest.raises(InputError, match=r"no column .*'?even"):
        open_dataset(JetFiles(tmp_path / "store", None, CUTS), CLASSES)


def test_a_run_is_evaluated_with_cuts_of_its_own(path, tmp_path):
    content = {
        "data": {
            "train": str(path),
            "classes": CLASSES,
            "columns": {"derived": COLUMNS.derived},
            "cuts": {"columns": {"even": [1, None]}},
            "test_cuts": {"columns": {"number": [30, None]}},
            "reweight": {"by": {"number": [0, 40, 80]}, "threshold": 50},
        },
        "model": {"name": "pfn", "particle_dims": [4], "jet_dims": [4]},
        "training": {"steps": 2, "batch_size": 16, "device": "cpu"},
    }
    run = parttag.train(content, out=tmp_path / "run")
    report = run.evaluate(path)
    assert sum(report.num_jets.values()) == 50
    (line,) = [
        text
        for text in (tmp_path / "run" / "train.log").read_text().splitlines()
        if "reweighted by number: top" in text
    ]
    assert " 40 jets" not in line  # of the 40 that pass, some are of the other class


def test_a_variable_that_jets_lack_is_said_with_those_that_there_are():
    spectra = JetSpectra(ReweightOptions(by={"width": (0, 1)}), ("top", "QCD"))
    with pytest.raises(InputError, match=r"reweight\.by: .* no column width .*jet_pt, jet_eta"):
        spectra.add(toy_jets(10, 1), np.zeros(10, dtype=np.int64))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"class_weights": {"W": 2}}, "class_weights has W, but the classes are top, QCD"),
        ({"factors": {"top": [[1, 1]]}}, "a number for each bin of two variables"),
        ({"threshold": 10, "min_jets": 3}, "one of threshold and min_jets"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        read = read_options(ReweightOptions, {"by": {"jet_pt": [0, 1, 2]}, **options})
        JetSpectra(read, ("top", "QCD"))


def test_known_factors_are_taken_as_they_are():
    jets = toy_jets(60, 2)
    edges = {"jet_pt": [0, 550, 2000], "jet_mass": [0, 100, 5000]}
    factors = {"top": [[1, 2], [3, 4]], "QCD": [[0.5, 0], [1, 1]]}
    options = read_options(ReweightOptions, {"by": edges, "factors": factors})
    classes = np.where(jets.labels[:, list(jets.label_names).index("label_top")] == 1, 0, 1)
    spectra = JetSpectra(options, ("top", "QCD"))
    spectra.add(jets, classes)
    found = spectra.weights().reweighed(jets, classes).jet_weights
    bins = (jets.pt >= 550).astype(int), (jets.mass >= 100).astype(int)
    table = np.array([factors["top"], factors["QCD"]])
    expected = table[(classes, *bins)]
    np.testing.assert_allclose(found / found.sum(), expected / expected.sum(), rtol=1e-6)
