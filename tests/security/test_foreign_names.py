"""Names of classes, labels and rows: what a file cannot hold is refused, the rest is escaped."""

import csv
import io

import awkward as ak
import numpy as np
import pytest
from matplotlib.figure import Figure

from helpers.files import write_root
from helpers.runs import toy_config
from parttag.benchmarks.forms import to_csv, to_latex, to_markdown
from parttag.benchmarks.options import BenchmarkOptions, RowOptions
from parttag.benchmarks.plan import Row
from parttag.benchmarks.results import gather_row
from parttag.benchmarks.table import make_table
from parttag.data.jet_files import JetFiles
from parttag.data.loading.dataset import open_dataset
from parttag.data.readers.columns import ColumnsOptions
from parttag.errors import InputError
from parttag.options import read_options
from parttag.plotting.elements import plain
from parttag.runs.config import RunConfig, build_config
from parttag.runs.sections import parse_classes
from parttag.testing import toy_jets

REFUSED = {
    "surrogate": "t\ud800p",
    "nul": "t\x00p",
    "escape": "\x1b]0;x\x07",
    "8-bit escape": "t\x9b1m",
    "newline": "a\nb",
    "line separator": "a\u2028b",
    "right to left": "a\u202eb",
    "nothing": "",
    "spaces": "  ",
    "without end": "x" * 10_000,
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_class_of_a_name_that_no_file_can_hold_is_refused_first(kind):
    with pytest.raises(InputError, match=r"data\.classes") as refusal:
        build_config(
            {"data": {"classes": {REFUSED[kind]: "a", "QCD": "b"}}, "model": {"name": "pfn"}}
        )
    str(refusal.value).encode()
    assert len(str(refusal.value)) < 500


@pytest.mark.parametrize("kind", REFUSED)
def test_so_are_labels_rows_and_classes_of_the_command_line(kind):
    name = REFUSED[kind]
    labels = {"particles": {"px": "a", "py": "b", "pz": "c", "energy": "d"}}
    for content in (
        {"labels": {"branches": {name: "x"}}},
        {"labels": {"files": {name: "x"}}},
        {"labels": {"branch": "y", "values": {name: 1}}},
    ):
        with pytest.raises(InputError, match="labels"):
            read_options(ColumnsOptions, labels | content)
    row = {"recipe": "pfn.yaml"}
    with pytest.raises(InputError, match="rows"):
        read_options(BenchmarkOptions, {"data": {"train": "x"}, "rows": {name: row}})
    if kind not in ("surrogate",):
        with pytest.raises(InputError):
            parse_classes('{"' + name.encode("unicode_escape").decode() + '": a, b: c}')


@pytest.mark.parametrize("name", ["t$b", "W → qq′", "Z/γ*", "[red]", "H→bb̄", "t & b", "<b>"])
def test_other_names_are_kept(name):
    config = build_config({"data": {"classes": {name: "a", "QCD": "b"}}, "model": {"name": "pfn"}})
    assert isinstance(config, RunConfig)
    assert next(iter(config.data.classes)) == name


# ------------------------------------------------------------------------------------------ tables

HOSTILE = [
    '=HYPERLINK("http://example.org","ParT")',
    "+1+cmd|' /C calc'!A0",
    "-1+1",
    "@SUM(1)",
    "\t=1",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[ParT](javascript:alert(1))",
    "![x](http://example.org/x.png)",
    "a | b",
    "`code`",
    "a\nb",
]


@pytest.fixture(params=HOSTILE)
def result(request):
    row = Row(request.param, RowOptions(recipe="a.yaml", footnote=f"{request.param} as note"), {})
    return gather_row(row, {}, {0: "not run yet"}, None), request.param


def test_no_cell_of_a_spreadsheet_is_a_formula(result):
    text = to_csv([result[0]])
    for line in csv.reader(io.StringIO(text)):
        for cell in line:
            assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert result[1].strip() in text.replace('""', '"')


def test_numbers_of_a_spreadsheet_stay_numbers(result):
    assert "\n'" not in to_csv([result[0]]).replace("\n'" + result[1][0], "")


def test_markdown_holds_no_html_links_or_pictures(result):
    text = to_markdown(make_table([result[0]]))
    assert "<" not in text.replace("\\<", "")
    assert "](" not in text.replace("\\]", "")
    assert "`" not in text.replace("\\`", "")
    assert (
        len({line.replace("\\|", "").count("|") for line in text.split("\n\n")[0].splitlines()})
        == 1
    )


def test_latex_holds_no_command_of_a_name(result):
    text = to_latex(make_table([result[0]]))
    assert len([line for line in text.splitlines() if line.endswith(r"\\")]) == 2


# ----------------------------------------------------------------------------------------- pictures


@pytest.mark.parametrize("name", ["$x", "a$b$c", "$\\frac$", r"$\notacommand{$", "<b>"])
def test_names_are_drawn_as_text(name, tmp_path):
    figure = Figure()
    figure.text(0.5, 0.5, plain(name))
    figure.savefig(tmp_path / "a.png")
    assert plain(name).replace("\\$", "$") == name


# ----------------------------------------------------------------------------------------- weights


@pytest.mark.parametrize(
    ("weights", "match"),
    [
        (np.full(40, 1e38), "too large"),
        (np.full(40, 0.0), "are all 0"),
        (np.r_[np.ones(39), 3e38], "too large"),
    ],
)
def test_weights_that_no_sum_can_hold_are_refused_before_training(weights, match, tmp_path):
    jets = toy_jets(40)
    columns = {
        "particles": {"px": "px", "py": "py", "pz": "pz", "energy": "e"},
        "labels": {"branches": {"label_top": "top", "label_QCD": "qcd"}},
        "jet_weight": "w",
    }
    particles = {
        name: ak.unflatten(jets.p4[:, i].astype(np.float64), jets.lengths)
        for i, name in enumerate(("px", "py", "pz", "e"))
    }
    branches = particles | {
        "top": jets.labels[:, 0],
        "qcd": jets.labels[:, 1],
        "w": weights,
    }
    path = write_root(tmp_path / "weights.root", branches)
    classes = {"top": ("label_top",), "QCD": ("label_QCD",)}
    with pytest.raises(InputError, match=match):
        open_dataset(JetFiles([path], ColumnsOptions(**columns)), classes)


def test_weights_of_any_unit_are_taken(tmp_path):
    config = toy_config(tmp_path)
    assert len(open_dataset(config.data.train, config.data.classes)) == 60
