"""One place makes and saves figures: styles, formats, axes that are given, names that are text."""

import io
import zlib
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from parttag import plotting as plots
from parttag.errors import InputError
from parttag.metrics import RejectionByPt, Roc, class_rocs, measure_by_pt, measure_sculpting
from parttag.plotting.elements import plain
from parttag.plotting.styles import StyledFigure, style_context

RNG = np.random.default_rng(0)
LABELS = np.arange(800) % 2
LOGITS = RNG.normal(size=(800, 2)).astype(np.float32)
LOGITS[np.arange(800), LABELS] += 1.5
WEIGHTS = np.ones(800, dtype=np.float32)
MASS = RNG.exponential(80, 800)
EPOCHS = [{"epoch": 1.0, "lr": 0.1, "train_loss": 0.7}, {"epoch": 2.0, "lr": 0.05}]


def curves(classes=("top", "QCD")) -> dict[str, Roc]:
    return class_rocs(LOGITS, LABELS, classes, WEIGHTS)


def by_pt(classes=("top", "QCD")) -> RejectionByPt:
    return measure_by_pt(LOGITS, LABELS, classes, RNG.uniform(500, 1000, 800))


def given_scores(classes=("top", "QCD")) -> plots.SignalScores:
    return plots.signal_scores(LOGITS, LABELS, WEIGHTS, classes, curves(classes))[classes[0]]


def given_masses(classes=("top", "QCD")) -> plots.SignalMasses:
    passing = {classes[0]: LOGITS[:, 0] > LOGITS[:, 1]}
    found = measure_sculpting(MASS, LABELS, classes, passing, WEIGHTS)
    return plots.signal_masses(MASS, LABELS, WEIGHTS, classes, passing, found)[classes[0]]


def a_sample(name="mine") -> plots.Sample:
    return plots.Sample("", {name: MASS}, {name: np.ones(800)})


PANELS = {
    "roc": lambda **options: plots.roc(curves(), **options),
    "scores": lambda **options: plots.scores(given_scores(), **options),
    "rejection_by_pt": lambda **options: plots.rejection_by_pt(by_pt(), **options),
    "efficiency_by_pt": lambda **options: plots.efficiency_by_pt(by_pt(), **options),
    "mass_sculpting": lambda **options: plots.mass_sculpting(given_masses(), **options),
    "training": lambda **options: plots.training(EPOCHS, **options),
    "distribution": lambda **options: plots.distribution([a_sample()], "Mass", "GeV", **options),
}


def simple_figure(style="parttag", **options) -> Figure:
    return plots.distribution([a_sample()], "Mass", "GeV", style=style, **options).figure


@pytest.mark.parametrize("name", PANELS)
def test_every_panel_is_drawn_on_the_axes_that_are_given_or_on_new_ones(name):
    given = Figure().subplots()
    size = given.figure.get_size_inches().tolist()
    assert PANELS[name](ax=given) is given
    assert given.has_data()
    assert given.figure.get_size_inches().tolist() == size
    made = PANELS[name]()
    assert isinstance(made, Axes)
    assert made.figure is not given.figure
    assert made.has_data()


@pytest.mark.parametrize("style", ["parttag", "CMS", "ATLAS"])
def test_every_style_leaves_the_settings_of_others_alone(style):
    before = dict(mpl.rcParams)
    for draw in PANELS.values():
        figure = draw(style=style).figure
    figure.savefig(io.BytesIO(), format="svg")
    assert dict(mpl.rcParams) == before


def test_the_settings_of_others_do_not_change_a_picture():
    plain_file, other_file = io.BytesIO(), io.BytesIO()
    plots.save_figure(simple_figure(), plain_file)
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "black", "xtick.direction": "out"}):
        figure = simple_figure()
    plots.save_figure(figure, other_file)
    assert plain_file.getvalue() == other_file.getvalue()


def test_a_panel_on_given_axes_keeps_the_settings_that_are_in_force():
    with mpl.rc_context({"legend.fontsize": 7}):
        axes = plots.distribution([a_sample()], "Mass", "GeV", ax=Figure().subplots())
    assert axes.get_legend().get_texts()[0].get_fontsize() == 7
    axes = plots.distribution([a_sample()], "Mass", "GeV", ax=Figure().subplots(), style="CMS")
    assert axes.get_legend().get_texts()[0].get_fontsize() == 12.5


def texts(axes: Axes) -> list[str]:
    return [t.get_text().strip() for t in (*axes.texts, axes.title, axes._left_title)]


def test_styles_differ_and_only_an_experiments_own_has_its_name():
    pictures = {}
    for style in ("parttag", "CMS", "ATLAS"):
        figure, file = simple_figure(style, label="Preliminary"), io.BytesIO()
        plots.save_figure(figure, file)
        pictures[file.getvalue()] = style
        found = texts(figure.axes[0])
        assert "Preliminary" in found
        assert [name for name in ("CMS", "ATLAS") if name in found] == (
            [style] if style != "parttag" else []
        )
    assert len(pictures) == 3
    assert not any(
        name in texts(simple_figure(s).axes[0])
        for name in ("CMS", "ATLAS")
        for s in ("CMS", "ATLAS")
    )


def test_an_unknown_style_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match="no style 'LHCb' of pictures; take one of parttag, CMS"):
        style_context("LHCb")


def is_png(path: Path) -> bool:
    with Image.open(path) as image:
        image.load()  # all of it, checksums included
        return image.format == "PNG"


def is_pdf(path: Path) -> bool:
    content = path.read_bytes()
    stream = content[content.index(b"stream\n") + 7 : content.index(b"endstream")]
    return content[:5] == b"%PDF-" and b"%%EOF" in content[-8:] and bool(zlib.decompress(stream))


def is_svg(path: Path) -> bool:
    return path.read_text().startswith("<?xml") and path.read_text().rstrip().endswith("</svg>")


@pytest.mark.parametrize(("suffix", "is_one"), [("png", is_png), ("pdf", is_pdf), ("svg", is_svg)])
def test_the_format_follows_the_suffix(tmp_path, suffix, is_one):
    path = tmp_path / f"roc.{suffix}"
    plots.save_figure(simple_figure(), path)
    assert is_one(path)
    plots.save_figure(simple_figure(), tmp_path / f"again.{suffix.upper()}")
    assert (tmp_path / f"again.{suffix.upper()}").read_bytes() == path.read_bytes()
    with (tmp_path / "open").open("wb", buffering=0) as file:
        plots.save_figure(simple_figure(), file, suffix)
    assert is_one(tmp_path / "open")


def test_another_suffix_is_refused_and_a_failure_leaves_what_was_there(tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"roc\.docx: pictures are saved as \.png, \.pdf, \.svg"):
        plots.save_figure(simple_figure(), tmp_path / "roc.docx")
    (tmp_path / "roc.png").write_bytes(b"old")

    def fail(*_args, **_options):
        raise OSError(28, "No space left on device")

    figure = simple_figure()
    monkeypatch.setattr(StyledFigure, "savefig", fail)
    with pytest.raises(InputError, match=r"roc.png"):
        plots.save_figure(figure, tmp_path / "roc.png")
    assert (tmp_path / "roc.png").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["roc.png"]


def test_a_notebook_shows_the_figure():
    assert simple_figure()._repr_png_().startswith(b"\x89PNG")


# Half a formula, an unknown command, an underscore that legends skip, what no font has.
NAMES = ("$a_$", "\\frac{$", "$\\nonsense$", "_hidden", "a\0b\x1b[31m\n\u2028c\ud800", "$")


def test_names_of_classes_are_printed_as_they_are():
    pair = ("_$\\frac\0\x1b[1m$\ud800", "Q$CD")
    many = plots.Sample("$", dict.fromkeys(NAMES, MASS), dict.fromkeys(NAMES, np.ones(800)))
    curve = curves()["top"]
    drawn = [
        (plots.roc(dict.fromkeys(NAMES, curve), background="Q$CD", label="$"), NAMES),
        (plots.scores(given_scores(pair)), pair),
        (plots.rejection_by_pt(by_pt(pair)), pair[:1]),
        (plots.mass_sculpting(given_masses(pair)), pair),
        (plots.distribution([many], "Mass", "GeV"), NAMES),
    ]
    for axes, names in drawn:
        axes.figure.draw_without_rendering()  # refuses formulas that are none
        legend = axes.get_legend()
        shown = [t.get_text() for t in (*legend.get_texts(), legend.get_title())]
        assert all(any(plain(name) in text for text in shown) for name in names)


def test_plain_text_is_no_formula_has_nothing_invisible_and_is_not_skipped():
    assert plain("a$b$") == r"a\$b\$"
    assert plain("a\nb\x1b\u200bc\ud800") == "a b  c "
    assert plain("_a") == " _a"
    assert plain("H→bb̄ η") == "H→bb̄ η"
