import numpy as np
import pytest
from matplotlib.markers import CARETUPBASE

from parttag import plotting as plots
from parttag.errors import InputError
from parttag.metrics import (
    DEFAULTS,
    EvaluationOptions,
    class_rocs,
    measure_by_pt,
    measure_sculpting,
    passing_jets,
)


def jets(num_classes: int, number: int = 600):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, num_classes, number)
    logits = rng.normal(size=(number, num_classes)).astype(np.float32)
    logits[np.arange(number), labels] += 2
    return logits, labels, np.ones(number, dtype=np.float32)


def legend(axes) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


def drawn_roc(classes, *, published=False):
    logits, labels, _ = jets(len(classes))
    rocs = class_rocs(logits, labels, classes)
    if len(rocs) == 1:
        rocs = {"mine": next(iter(rocs.values()))}
    return plots.roc(rocs, background=classes[-1], published=published), rocs


def drawn_scores(logits, labels, weights, classes, rocs, options=DEFAULTS):
    panels = plots.signal_scores(logits, labels, weights, classes, rocs, options)
    return plots.scores_figure(panels).axes


def test_the_roc_is_the_curve_with_its_error_and_the_published_points():
    axes, rocs = drawn_roc(("top", "QCD"), published=True)
    assert axes.get_yscale() == "log"
    names = ["mine", "statistical error", "published, full training set:"]
    assert legend(axes) == [*names, "PFN", "ParT", "L-GATr", "ParT-f.t."]
    curve = next(line for line in axes.lines if line.get_label() == "mine")
    for eps_s, height in zip(*curve.get_data(), strict=True):
        eps_b, _ = rocs["mine"].background_efficiency(np.array([eps_s]))
        assert height == pytest.approx(1 / eps_b[0])
    part = next(c for c in axes.containers if c.get_label() == "ParT")
    np.testing.assert_array_equal(part.lines[0].get_data(), [[0.5, 0.3], [413, 1602]])


def test_published_points_are_there_only_if_asked_for():
    axes, _ = drawn_roc(("quark", "gluon"))
    assert legend(axes) == ["mine", "statistical error"]
    assert "Rejection of gluon" in axes.get_ylabel()


def test_several_signals_share_a_roc_and_have_a_panel_of_scores_each():
    logits, labels, weights = jets(5)
    classes = ("QCD", "Hbb", "Hqql", "Tbl", "Wqq")
    points = {"Hbb": [0.5], "Hqql": [0.99], "Tbl": [0.995], "Wqq": [0.5]}
    options = EvaluationOptions(background="QCD", working_points=points)
    rocs = class_rocs(logits, labels, classes, options=options)
    axes = plots.roc(rocs, background="QCD")
    assert legend(axes) == ["Hbb", "Hqql", "Tbl", "Wqq", "statistical error"]
    panels = drawn_scores(logits, labels, weights, classes, rocs, options)
    assert [legend(axes) for axes in panels] == [[s, "QCD"] for s in rocs]
    cuts = [[text.get_text()[-5:].split()[-1] for text in axes.texts] for axes in panels]
    assert cuts == [["0.5"], ["0.99"], ["0.995"], ["0.5"]]


def test_scores_are_shares_of_the_jets_of_each_class():
    logits, labels, weights = jets(2)
    weights = np.where(labels == 0, 3, 1).astype(np.float32)
    rocs = class_rocs(logits, labels, ("top", "QCD"), weights)
    (axes,) = drawn_scores(logits, labels, weights, ("top", "QCD"), rocs)
    outlines = [patch for patch in axes.patches if not patch.get_fill()]
    assert [patch.get_data().values.sum() for patch in outlines] == pytest.approx([1, 1], abs=0.01)


def test_classes_of_which_there_are_no_jets_do_not_matter():
    logits, labels, weights = jets(2)
    rows = labels == 0
    for chosen in (rows, np.zeros_like(rows)):
        rocs = class_rocs(logits[chosen], labels[chosen], ("top", "QCD"))
        assert plots.roc(rocs).lines
        (axes,) = drawn_scores(
            logits[chosen], labels[chosen], weights[chosen], ("top", "QCD"), rocs
        )
        assert legend(axes) == ["top", "QCD"]


def test_classes_without_a_background_are_each_drawn_against_the_others():
    logits, labels, weights = jets(3)
    panels = drawn_scores(logits, labels, weights, ("a", "b", "c"), {})
    assert [legend(axes) for axes in panels] == [[name, "others"] for name in "abc"]
    assert panels[1].get_xlabel() == "ln [ p(b) / (1 − p(b)) ]"


EPOCHS = [
    {"epoch": 1.0, "lr": 0.1, "train_loss": 0.7, "train_accuracy": 0.6},
    {"epoch": 2.0, "lr": 0.05, "train_loss": 0.5, "train_accuracy": 0.7, "val_loss": 0.6},
]


def test_training_curves_are_those_of_the_record():
    loss, accuracy, rate = plots.training_figure(EPOCHS).axes
    titles = [axes.get_ylabel() for axes in (loss, accuracy, rate)]
    assert titles == ["Loss", "Accuracy", "Learning rate"]
    assert legend(loss) == ["training", "validation"]
    assert legend(accuracy) == ["training"]
    np.testing.assert_array_equal(loss.lines[1].get_data(), [[2], [0.6]])
    np.testing.assert_array_equal(rate.lines[0].get_data(), [[1, 2], [0.1, 0.05]])


def test_a_record_without_accuracy_has_no_panel_for_it():
    record = [{"epoch": 1.0, "lr": 0.1, "train_loss": 0.7}]
    panels = plots.training_figure(record).axes
    assert [axes.get_ylabel() for axes in panels] == ["Loss", "Learning rate"]
    with pytest.raises(InputError, match="no 'accuracy' to draw; it has loss, lr"):
        plots.training(record, "accuracy")


def sample(name: str, labels: tuple[str, ...], seed: int) -> plots.Sample:
    rng = np.random.default_rng(seed)
    values = {label: rng.normal(100, 10, 500) for label in labels}
    return plots.Sample(name, values, {label: np.ones(500) for label in labels})


def test_distributions_of_two_samples_are_told_apart_by_name_and_line():
    samples = [sample("mine", ("top", "QCD"), 0), sample("theirs", ("top",), 1)]
    axes = plots.distribution(samples, "Jet mass", "GeV")
    assert legend(axes) == ["top, mine", "QCD, mine", "top, theirs"]
    assert axes.get_xlabel() == "Jet mass [GeV]"
    outlines = [patch for patch in axes.patches if not patch.get_fill()]
    assert [patch.get_linestyle() for patch in outlines] == ["-", "-", "--"]
    width = np.diff(outlines[0].get_data().edges)
    np.testing.assert_allclose(width, 5)
    assert axes.get_ylabel() == "Share of jets / 5 GeV"


def test_bins_of_counts_have_whole_numbers_in_their_middle():
    counts = {"top": np.arange(10.0, 90.0)}
    axes = plots.distribution([plots.Sample("mine", counts, {"top": np.ones(80)})], "Particles", "")
    edges = axes.patches[-1].get_data().edges
    np.testing.assert_array_equal(edges % 1, 0.5)
    assert legend(axes) == ["top"]


def pt_of(labels) -> np.ndarray:
    return np.random.default_rng(1).uniform(500, 1000, len(labels))


def test_the_rejection_by_pt_has_both_kinds_of_cut_and_the_efficiency_of_the_one():
    logits, labels, _ = jets(2, 2000)
    by_pt = measure_by_pt(logits, labels, ("top", "QCD"), pt_of(labels))
    above, below = plots.rejection_by_pt_figure(by_pt).axes
    kinds = ("a cut for each bin", "one cut")
    assert [text.split(" = ")[1] for text in legend(above)] == [
        f"{eps_s}, {kind}" for eps_s in (0.5, 0.3) for kind in kinds
    ]
    assert above.get_legend().get_title().get_text() == "top against QCD"
    (points,) = (c for c in above.containers if c.get_label().endswith("0.3, one cut"))
    heights = points.lines[0].get_ydata()
    np.testing.assert_allclose(heights, [e.value for e in by_pt.one_cut_rejection["top"][0.3]])
    assert above.get_ylim()[0] > 0
    assert len(below.containers) == 2
    assert below.get_xlim() == (by_pt.edges[0], by_pt.edges[-1])


def test_points_of_a_bin_stand_apart_inside_of_it():
    logits, labels, _ = jets(2, 2000)
    by_pt = measure_by_pt(logits, labels, ("top", "QCD"), 500 + (pt_of(labels) - 500) ** 2 / 500)
    axes = plots.rejection_by_pt(by_pt)
    places = np.sort([c.lines[0].get_xdata() for c in axes.containers], axis=0)
    edges = by_pt.edges
    assert len(places) == 4
    assert (np.diff(places, axis=0) > 0.01 * np.diff(edges)).all()
    assert (places > edges[:-1]).all()
    assert (places < edges[1:]).all()


def test_lower_limits_are_arrows_and_unknown_rejections_are_left_out():
    labels = np.repeat([0, 1], 300)
    logits = np.zeros((600, 2), dtype=np.float32)
    logits[labels == 0, 0] = 1
    pt = np.tile(np.linspace(500, 1000, 300), 2)
    by_pt = measure_by_pt(logits, labels, ("top", "QCD"), pt)
    axes = plots.rejection_by_pt(by_pt)
    (points,) = (c for c in axes.containers if "0.5, one cut" in c.get_label())
    _, caps, _ = points.lines
    assert [cap.get_marker() for cap in caps] == [CARETUPBASE]
    rows = labels == 1
    by_pt = measure_by_pt(logits[rows], labels[rows], ("top", "QCD"), pt[rows])
    assert plots.rejection_by_pt(by_pt).get_legend()


def test_several_signals_have_a_panel_each_of_rejection_and_of_mass():
    logits, labels, weights = jets(4, 2000)
    classes = ("QCD", "Hbb", "Hqql", "Wqq")
    options = EvaluationOptions(background="QCD")
    by_pt = measure_by_pt(logits, labels, classes, pt_of(labels), options=options)
    panels = plots.rejection_by_pt_figure(by_pt).axes
    titles = [axes.get_legend().get_title().get_text() for axes in panels]
    assert titles == [f"{name} against QCD" for name in classes[1:]]
    with pytest.raises(InputError, match="take one of Hbb, Hqql, Wqq"):
        plots.rejection_by_pt(by_pt)
    figure = plots.mass_sculpting_figure(masses_of(logits, labels, weights, classes, options))
    assert [legend(axes)[1] for axes in figure.axes] == ["Hbb, all", "Hqql, all", "Wqq, all"]


def masses_of(logits, labels, weights, classes, options=DEFAULTS) -> dict[str, plots.SignalMasses]:
    mass = np.random.default_rng(2).exponential(80, len(labels))
    rocs = class_rocs(logits, labels, classes, options=options)
    passing = passing_jets(logits, classes, rocs, options)
    found = measure_sculpting(mass, labels, classes, passing, weights, options)
    return plots.signal_masses(mass, labels, weights, classes, passing, found, options)


def test_the_mass_is_that_of_all_background_jets_of_the_signal_and_of_those_that_pass():
    logits, labels, weights = jets(2, 2000)
    logits[:, 0] += labels  # not too good: some background must pass
    masses = masses_of(logits, labels, weights, ("top", "QCD"))["top"]
    axes, found = plots.mass_sculpting(masses), masses.sculpting
    passed = rf"{found.after.num_jets} QCD that pass, $\varepsilon_{{\mathrm{{S}}}}$ = 0.5"
    assert legend(axes) == ["QCD, all", "top, all", passed]
    outlines = [patch for patch in axes.patches if not patch.get_fill()]
    assert [patch.get_data().values.sum() for patch in outlines] == pytest.approx([1, 1], abs=0.01)
    points, fine = (
        axes.containers[0].lines[0].get_xydata(),
        np.diff(outlines[0].get_data().edges)[0],
    )
    # Points stand for several fine bins each: so many that the shares add up to 1.
    joined = round(np.diff(points[:, 0]).min() / fine)
    assert joined > 1
    assert points[:, 1].sum() * joined == pytest.approx(1, abs=0.02)
    title = axes.get_legend().get_title().get_text()
    assert title.startswith(f"Median {found.before.median.value:.0f} → ")
    assert f"Jensen–Shannon {found.jensen_shannon:.2f}" in title


def test_a_cut_that_no_background_passes_has_a_picture_too():
    logits, labels, weights = jets(2)
    logits[labels == 0, 0] += 100
    masses = masses_of(logits, labels, weights, ("top", "QCD"))["top"]
    axes = plots.mass_sculpting(masses)
    assert axes.get_legend().get_title().get_text() == "too few jets pass"
    none = labels == 0
    masses = masses_of(logits[none], labels[none], weights[none], ("top", "QCD"))["top"]
    assert plots.mass_sculpting(masses).get_legend()


def test_several_backgrounds_are_drawn_as_one():
    logits, labels, weights = jets(4, 2000)
    classes = ("QCD", "Hbb", "Hcc", "light")
    options = EvaluationOptions(
        background=["QCD", "light"],
        working_points={"Hbb": [0.6]},
        discriminant={"Hbb": {"QCD": 0.9, "light": 0.1}},
        sculpting_eps_s=0.7,
    )
    rocs = class_rocs(logits, labels, classes, options=options)
    first, second = drawn_scores(logits, labels, weights, classes, rocs, options)
    assert legend(first) == ["Hbb", "QCD + light"]
    assert first.get_xlabel() == "ln [ p(Hbb) / (0.9 p(QCD) + 0.1 p(light)) ]"
    assert second.get_xlabel() == "ln [ p(Hcc) / (p(QCD) + p(light)) ]"
    assert (len(first.texts), len(second.texts)) == (1, 0)
    by_pt = measure_by_pt(logits, labels, classes, pt_of(labels), options=options)
    title = plots.rejection_by_pt(by_pt).get_legend().get_title().get_text()
    assert title == "Hbb against QCD + light"
    masses = masses_of(logits, labels, weights, classes, options)["Hbb"]
    background = (labels == 0) | (labels == 3)
    assert len(masses.jet_mass["QCD + light"]) == background.sum()
    text = legend(plots.mass_sculpting(masses))[2]
    assert text.startswith(f"{masses.passed.sum()} QCD + light that pass")
    assert text.endswith("= 0.7")
