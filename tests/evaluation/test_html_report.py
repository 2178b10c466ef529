"""The page of a report: complete, without network, and deaf to what foreign names say."""

import html
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import parttag as pt
from helpers.files import write_toptagging_h5
from helpers.untrained import small_config, write_run
from parttag.errors import InputError
from parttag.evaluation.report.charts import colored, dashed
from parttag.evaluation.report.content import ReportedRun, RowTable, read_run
from parttag.evaluation.report.looks import choose
from parttag.evaluation.report.page import page, write_report
from parttag.evaluation.report.pictures import confusion
from parttag.evaluation.report.write import report_evaluation
from parttag.runs.directory import distinct_names
from parttag.testing import toy_jets

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> pt.Run:
    """An untrained Particle Transformer, evaluated on a file."""
    folder = tmp_path_factory.mktemp("report")
    test = write_toptagging_h5(folder / "test.h5", toy_jets(120, seed=3))
    config = small_config("particle_transformer", evaluation={"working_points": [0.5]})
    run = write_run(config, folder / "small")
    run.evaluate(str(test)).save(run.directory / "evaluation")
    lines = [{"epoch": n, "train_loss": 1 / n, "val_loss": 1.1 / n, "lr": 0.1} for n in (1, 2)]
    (run.directory / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return run


@pytest.fixture(scope="module")
def reported(run) -> ReportedRun:
    return read_run(run)


class Page(HTMLParser):
    """Headings, texts and everything that a browser would fetch or run."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text = ""
        self._in: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._in.append(tag)

    def handle_endtag(self, tag):
        while self._in and self._in.pop() != tag:
            pass

    def handle_data(self, data):
        if self._in[-1:] == ["script"]:
            self.scripts.append(data)
        elif self._in[-1:] != ["style"]:
            self.text += data


def specs_of(text: str) -> list[dict]:
    (found,) = re.findall(r'<script type="application/json" id="specs">(.*?)</script>', text)
    return json.loads(found)


def test_a_page_has_every_part_and_asks_the_network_for_nothing(reported):
    text = page([reported], title="mine")
    found = Page(text)
    for part in (
        "Metrics",
        "ROC",
        "Loss by epoch",
        "Score distributions",
        "Mass of the background",
        "Confusion",
        "Calibration",
        "Jets to look at",
        "Configuration and provenance",
    ):
        assert part in found.text
    assert f"{reported.num_parameters:,} parameters" in found.text
    assert "accuracy" in found.text
    assert "name: particle_transformer" in found.text
    fetched = [v for _, attrs in found.tags for k, v in attrs.items() if k in ("src", "href")]
    assert fetched
    assert all(value.startswith(("#", "data:")) for value in fetched)
    assert "@import" not in text
    policies = [a["content"] for t, a in found.tags if a.get("http-equiv")]
    assert "default-src 'none'" in policies[0]
    assert "unsafe-eval" not in policies[0]
    assert len(text) < 5_000_000
    # Each picture has words beside it, and each place for one a chart.
    places = [a["data-chart"] for t, a in found.tags if "data-chart" in a]
    assert places == [str(number) for number in range(len(specs_of(text)))]
    assert sum(t == "figcaption" for t, _ in found.tags) == len(places)


def test_foreign_names_stay_texts(reported):
    names = (EVIL, "QCD")
    jets = replace(reported.jets, classes=names)
    report = replace(reported.report, data=(EVIL,), background=(EVIL,))
    options = reported.options.model_copy(update={"background": ("QCD",)})
    look = replace(reported.looks[0], truth=EVIL, predicted=EVIL, place=EVIL)
    evil = replace(
        reported,
        name=EVIL,
        classes=names,
        jets=jets,
        report=report,
        options=options,
        configuration=EVIL,
        directory=EVIL,
        looks=(look,),
        files={"train": (EVIL,)},
        provenance={"starts": [{"command": [EVIL], "hardware": {EVIL: EVIL}}]},
    )
    table = RowTable([EVIL], [[EVIL]], [EVIL])
    text = page([evil], title=EVIL, table=table)
    found = Page(text)
    assert len(found.scripts) == 3
    assert not [tag for tag, _ in found.tags if tag == "img"]
    assert not [attrs for _, attrs in found.tags if any(name.startswith("on") for name in attrs)]
    assert html.escape(EVIL, quote=False).replace("'", "&#39;") in text
    assert EVIL in json.dumps(specs_of(text))


def test_jets_are_the_surest_and_the_undecided():
    logits = np.array([[4.0, 0], [0, 5], [3, 0], [0, 1], [0.1, 0], [6, 0], [0, 0.05]])
    labels = np.array([0, 1, 1, 0, 0, 0, 1])
    found = choose(logits, labels)
    assert found[:4] == [("surest right", row) for row in (5, 1, 0, 6)]
    assert ("surest wrong", 2) in found
    assert found[-1] == ("undecided", 4)
    assert len({row for _, row in found}) == len(found)
    assert choose(logits[:0], labels[:0]) == []


def test_looks_are_the_jets_of_the_file(run, reported):
    assert {look.why for look in reported.looks} == {"surest right", "surest wrong", "undecided"}
    jets = toy_jets(120, seed=3)
    for look in reported.looks:
        row = int(look.place.rpartition(" ")[2])
        assert look.jet_pt == pytest.approx(jets.pt[row], rel=1e-4)
        assert len(look.pt) == jets.lengths[row]
        assert look.truth == ("top", "QCD")[row % 2]
        scores = run.predict(jets).columns()
        assert look.score == pytest.approx(scores[f"score_{look.predicted}"][row], rel=1e-3)
        assert look.attention.sum() < 1


def test_a_run_whose_jets_have_moved_or_changed_has_a_page_without_them(run, tmp_path):
    place = shutil.copytree(run.directory, tmp_path / "moved")
    metrics = place / "evaluation" / "metrics.json"
    content = json.loads(metrics.read_text())
    metrics.write_text(json.dumps(content | {"data": [str(tmp_path / "gone.h5")]}))
    found = read_run(pt.load(place))
    assert found.looks == ()
    assert "gone.h5" in found.why_no_looks
    assert "None: the jets cannot be read again" in Page(page([found], title="x")).text
    write_toptagging_h5(tmp_path / "gone.h5", toy_jets(120, seed=4))
    assert "other jets than those" in read_run(pt.load(place)).why_no_looks
    (place / "evaluation" / "scores.h5").unlink()
    assert "its scores are not there" in read_run(pt.load(place)).why_no_looks
    shutil.rmtree(place / "evaluation")
    assert "not evaluated" in Page(page([read_run(pt.load(place))], title="x")).text


def test_several_runs_are_drawn_on_top_of_each_other(reported, tmp_path):
    other = replace(reported, name="other", looks=(), why_no_looks="jets are shown elsewhere")
    text = page([reported, other], title="two")
    roc = specs_of(text)[0]
    assert roc["data"]["texts"]["run"]["texts"] == ["small", "other"]
    lines = [tag for tag, attrs in Page(text).tags if attrs.get("class") == "run"]
    assert lines == ["details", "details"]
    many = page([replace(other, name=f"run {n}") for n in range(15)], title="many")
    assert len(many) < 5_000_000


def test_confusion_is_by_rows():
    logits = np.eye(3)[[0, 1, 1, 2]].astype(float)
    found = confusion(logits, np.array([0, 0, 1, 1]), np.array([1.0, 3.0, 1.0, 1.0]))
    np.testing.assert_allclose(found[:2], [[0.25, 0.75, 0], [0, 0.5, 0.5]])
    assert np.isnan(found[2]).all()


def test_names_of_runs_tell_them_apart():
    assert distinct_names([Path("/a/x"), Path("/a/y")]) == ["x", "y"]
    assert distinct_names([Path("/a/x/s0"), Path("/a/y/s0")]) == ["x/s0", "y/s0"]
    assert distinct_names([Path("/a/x"), Path("/a/x")]) == ["x (1)", "x (2)"]


def test_files_are_not_replaced_unasked_and_packages_are_named(
    run, reported, tmp_path, monkeypatch
):
    out = tmp_path / "report.html"
    assert write_report([reported], out, title="x") == out
    with pytest.raises(InputError, match=r"report\.html exists already; add overwrite=True"):
        pt.report([run], out)
    with pytest.raises(InputError, match="nothing to report"):
        pt.report([], tmp_path / "none.html")
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    with pytest.raises(InputError, match=r"pip install 'parttag\[report\]'"):
        write_report([reported], tmp_path / "other.html", title="x")
    found = run.evaluate(toy_jets(4))
    assert report_evaluation(run, found, tmp_path).startswith(
        "no report is written: vl-convert-python"
    )
    assert not (tmp_path / "other.html").exists()


BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


@pytest.mark.skipif(
    not any(map(shutil.which, BROWSERS)), reason="there is no Chromium to open the page in"
)
def test_a_browser_draws_every_picture_without_an_error(reported, tmp_path):
    browser = next(filter(None, map(shutil.which, BROWSERS)))
    other = replace(reported, name=EVIL, looks=())
    (tmp_path / "report.html").write_text(page([reported, other], title=EVIL))
    call = [
        browser,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--enable-logging=stderr",
        "--virtual-time-budget=60000",
        f"--user-data-dir={tmp_path / 'profile'}",
        "--dump-dom",
        f"file://{tmp_path / 'report.html'}",
    ]
    done = subprocess.run(call, capture_output=True, text=True, timeout=60, check=True)
    console = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
    assert not console
    drawn = Page(done.stdout)
    assert "cannot be drawn" not in drawn.text
    places = sum("data-chart" in attrs for _, attrs in drawn.tags)
    pictures = [a for tag, a in drawn.tags if tag == "svg" and "marks" in (a.get("class") or "")]
    assert len(pictures) == places > 10
    root = dict(drawn.tags[0][1])
    assert 0 < int(root["data-ready"]) <= int(root["data-done"])


def test_no_two_of_many_curves_look_alike():
    names = [f"run {number}" for number in range(50)]
    colors, dashes = (
        found["scale"]["range"] for found in (colored("run", None, names), dashed("run", names))
    )
    assert len({(color, *dash) for color, dash in zip(colors, dashes, strict=True)}) == 50
