import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console

from parttag.cli import jet_tables, tables
from parttag.inspection.chance import ByChance
from parttag.inspection.compare import Comparison, Distance
from parttag.inspection.inspect import Inspection
from parttag.inspection.sample import JetSample
from parttag.jets.variables import JET_VARIABLES
from parttag.metrics import Estimate, EvaluationOptions, Report, measure


def printed(table) -> str:
    console = Console(width=100, file=io.StringIO())
    console.print(table)
    return console.file.getvalue()


def report(classes, separation: float = 1.0, **options) -> Report:
    rng = np.random.default_rng(0)
    labels = np.arange(600) % len(classes)
    logits = rng.normal(size=(600, len(classes)))
    logits[np.arange(600), labels] += separation
    found = measure(logits, labels, classes, options=EvaluationOptions(**options))
    return replace(found, num_left_out={"bad": 2, "no_class": 1})


def test_two_classes_fit_on_a_few_lines():
    found = report(("top", "QCD"))
    text = printed(tables.metrics_table("runs/mine [1]", found))
    assert "runs/mine [1]" in text
    above, below = found.auc.high - found.auc.value, found.auc.value - found.auc.low
    assert f"{found.auc.value:.4f} +{above:.4f} −{below:.4f}" in " ".join(text.split())
    assert "top: 1/ε_B at ε_S = 0.3" in text
    assert f"{found.rejection['top'][0.3].value:.1f}" in text
    jets, rough = found.sentences()
    assert jets == "jets: 300 top, 300 QCD; left out: 2 bad, 1 of no class"
    number = found.rejection["top"][0.3].num_passing
    assert rough.startswith(f"top: 1/ε_B at ε_S = 0.3: {number:.2g} effective background jets pass")


def test_several_classes_name_theirs():
    points = {"Hbb": [0.5], "Hqql": [0.99]}
    found = report(("QCD", "Hbb", "Hqql"), background="QCD", working_points=points)
    text = printed(tables.metrics_table("run", found))
    assert "Hbb: 1/ε_B at ε_S = 0.5" in text
    assert "Hqql: 1/ε_B at ε_S = 0.99" in text


def test_limits_are_marked_and_what_is_unknown_is_a_dash():
    text = printed(tables.metrics_table("run", report(("top", "QCD"), separation=30)))
    assert "> 101" in text  # none of 300: 1/(1 − 0.05^(1/300))
    assert "95% CL" in text
    unknown = replace(report(("top", "QCD")), auc=Estimate(np.nan), loss=np.nan)
    text = printed(tables.metrics_table("run", unknown))
    assert re.search("AUC +–", text)
    assert re.search("loss +–", text)


def test_counts_and_ranges_say_what_is_in_the_files():
    variables = np.tile(np.arange(101.0)[:, None], (1, len(JET_VARIABLES)))
    sample = JetSample(variables, ("label_top",), np.zeros(101, dtype=np.int64), np.ones(101))
    inspection = Inspection(
        files=(Path("a"), Path("b")),
        num_jets=4000,
        labels={"label_top": 3000, "label_QCD": 1000},
        faults={"negative energy": 10},
        ranges={"pt": (0.0, 100.0), "particle_pt": (0.5, 60.0)},
        sample=sample,
        fingerprints={
            Path("a"): np.arange(2000, dtype=np.uint64),
            Path("b"): np.arange(1999, 3999, dtype=np.uint64),
        },
        nonfinite={"d0": 7},
    )
    counts = printed(jet_tables.counts_table("mine", inspection)).split()
    for row in (["files", "2"], ["label_top", "3,000", "75.00%"], ["energy", "10", "0.25%"]):
        assert " ".join(row) in " ".join(counts)
    assert "repeated jets 1 0.03%" in " ".join(counts)
    assert "d0: not finite 7 repeated" in " ".join(counts)
    ranges = " ".join(printed(jet_tables.ranges_table("mine", inspection)).split())
    assert "pt 0 5 50 95 100" in ranges
    assert "particle_pt 0.5 60" in ranges


def test_a_comparison_gives_the_classifier_and_every_distance():
    chance = ByChance(Estimate(0.02, 0.005), Estimate(0.03, 0.008))
    distances = (Distance("mass", 175.0, 172.0, 0.123, 0.2, chance),)
    aucs = Estimate(0.6, 0.01), Estimate(0.5, 0.011)
    comparison = Comparison("label_top", 1000, 2000, distances, *aucs)
    text = " ".join(printed(jet_tables.comparison_table(comparison)).split())
    assert "label_top: 1,000 jets against 2,000" in text
    assert "AUC 0.600 ± 0.010, by chance 0.500 ± 0.011" in text
    assert "mass 175 172 0.123 0.020 ± 0.005 0.200 0.030 ± 0.008" in text


def test_repeats_are_listed_within_and_between_inputs_the_most_first():
    inputs = {
        "train": np.array([1, 2, 3, 3], dtype=np.uint64),
        "test": np.array([3, 9, 8, 7, 6], dtype=np.uint64),
    }
    text = " ".join(printed(jet_tables.repeats_table(inputs)).split())
    assert text.endswith("train test 2 50.00% train itself 1 25.00% test train 1 20.00%")
    short = printed(jet_tables.repeats_table(inputs, most=1))
    assert "1 of 3 rows" in short
    assert "itself" not in short
    assert jet_tables.repeats_table({"train": inputs["test"]}) is None
