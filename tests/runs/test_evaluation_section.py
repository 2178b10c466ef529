"""The section ``evaluation`` of configurations, and those that do not have it."""

from pathlib import Path

import pytest

from parttag.benchmarks.planning import load_benchmark
from parttag.errors import InputError
from parttag.metrics import EvaluationOptions, discriminants
from parttag.runs.config import (
    build_config,
    dump_config,
    first_difference,
    load_config,
)
from parttag.runs.evaluation_section import parse_evaluation

CONFIGS = Path(__file__).parents[2] / "configs"
RECIPES = sorted(p for p in CONFIGS.rglob("*.yaml") if p.parent.name != "examples")
TEN = ("QCD", "Hbb", "Hcc", "Hgg", "H4q", "Hqql", "Zqq", "Wqq", "Tbqq", "Tbl")


def content(*classes: str, **sections) -> dict:
    """Return a configuration of classes whose labels have their names."""
    data = {"classes": {name: f"label_{name}" for name in classes}, **sections.pop("data", {})}
    return {"data": data, "model": {"name": "pfn"}, **sections}


def points(config) -> dict[str, tuple[float, ...]]:
    """Return the working points of each signal class of a configuration."""
    found = discriminants(tuple(config.data.classes), config.evaluation)
    return {name: score.working_points for name, score in found.items()}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_recipes_say_what_they_meant_before_they_could(path):
    config = load_benchmark(path) if path.parent.name == "benchmarks" else load_config(path)
    classes = tuple(config.data.classes)
    if not classes:
        assert config.evaluation == EvaluationOptions()
        return
    assert "evaluation:" in path.read_text()
    found = points(config)
    if len(classes) == 2:
        assert config.evaluation.background == (classes[1],)
        assert found == {classes[0]: (0.5, 0.3)}
    else:
        assert config.evaluation.background == ("QCD",)
        own = {"Hqql": (0.99,), "Tbl": (0.995,)}
        assert found == {name: own.get(name, (0.5,)) for name in TEN[1:]}
    assert config.evaluation.published == (path.stem != "quickstart")


def test_a_configuration_without_the_section_means_what_it_did():
    assert points(build_config(content("top", "QCD"))) == {"top": (0.5, 0.3)}
    assert points(build_config(content("QCD", "top"))) == {"top": (0.5, 0.3)}
    assert points(build_config(content("quark", "gluon"))) == {"quark": (0.5, 0.3)}
    assert points(build_config(content("a", "b", "c"))) == {}
    ten = load_config(CONFIGS / "jetclass" / "particle_transformer_kin.yaml")
    assert points(build_config(content(*TEN))) == points(ten)
    # So that a run that was begun before its recipe had the section goes on.
    old = build_config(content("top", "QCD"))
    section = {"background": "QCD", "working_points": [0.5, 0.3]}
    assert first_difference(old, build_config(content("top", "QCD", evaluation=section))) is None


def test_published_has_moved_and_is_found_where_it_was():
    config = build_config(content("top", "QCD", data={"published": False}))
    assert not config.evaluation.published
    assert points(config) == {"top": (0.5, 0.3)}
    again = build_config(content("QCD", "top", evaluation={"published": False}))
    assert points(again) == {"top": (0.5, 0.3)}
    with pytest.raises(InputError, match=r"evaluation\.published is 3, but must be true or false"):
        build_config(content("top", "QCD", data={"published": 3}))


def test_the_section_comes_back_from_the_file_of_a_run(tmp_path):
    section = {
        "background": ["QCD", "Wqq"],
        "working_points": {"Hbb": [0.3, 0.6]},
        "discriminant": {"Hbb": {"QCD": 0.9, "Hcc": 0.1}},
        "metrics": ["accuracy", "rejection"],
    }
    config = build_config(content(*TEN, evaluation=section))
    path = tmp_path / "config.yaml"
    path.write_text(dump_config(config))
    assert load_config(path) == config
    assert config.evaluation.background == ("QCD", "Wqq")
    nothing = build_config(content("QCD", "top", evaluation={"background": None}))
    assert points(nothing) == {"QCD": (0.5, 0.3)}


@pytest.mark.parametrize(
    ("section", "sentence"),
    [
        ({"background": "QDC"}, "evaluation.background: 'QDC' is none of .* the nearest is QCD"),
        ({"working_points": {"topp": [0.5]}}, "evaluation.working_points: 'topp' .* is top"),
        ({"working_points": [5]}, r"evaluation.working_points: \[5\] are no signal efficiencies"),
        ({"backgroundd": "QCD"}, "nearest known one is evaluation.background"),
        ({"metrics": ["auk"]}, "evaluation.metrics: there is no metric 'auk'; .* is auc"),
        (None, "evaluation is None, but must be a section"),
    ],
)
def test_a_wrong_section_is_refused_when_it_is_read(section, sentence):
    with pytest.raises(InputError, match=sentence):
        build_config(content("top", "QCD", evaluation=section))


def test_other_classes_than_the_recipes_are_not_measured_by_its_section():
    path = CONFIGS / "toptagging" / "pfn.yaml"
    classes = "data.classes={quark: label_quark, gluon: label_gluon}"
    assert points(load_config(path, [classes])) == {"quark": (0.5, 0.3)}
    changed = load_config(path, [classes, "evaluation.background=quark"])
    assert points(changed) == {"gluon": (0.5, 0.3)}
    same = load_config(path, ["evaluation.working_points=[0.7]"])
    assert points(same) == {"top": (0.7,)}


def test_a_table_says_what_is_measured_of_all_rows(tmp_path):
    path = CONFIGS / "benchmarks" / "smoke.yaml"
    table = load_benchmark(path, ["evaluation.working_points=[0.6]"])
    assert table.evaluation.working_points == (0.6,)
    sentence = "all rows are measured alike"
    with pytest.raises(InputError, match=sentence):
        load_benchmark(path, ["rows={a: {recipe: b, overrides: {evaluation: {}}}}"])


def test_options_are_changed_by_values_and_by_texts():
    options = EvaluationOptions(
        background="QCD",
        working_points={"Hbb": [0.5]},
        discriminant={"Hbb": {"QCD": 1.0}},
        published=False,
    )
    changed = parse_evaluation(options, {"working_points": "0.3,0.5"})
    assert changed == options.model_copy(update={"working_points": (0.3, 0.5)})
    changed = parse_evaluation(options, {"working_points": "{Hbb: [0.3, 0.7], Hcc: 0.5}"})
    assert changed.working_points == {"Hbb": (0.3, 0.7), "Hcc": (0.5,)}
    other = parse_evaluation(options, {"background": "Hcc, Hbb"})
    assert other == EvaluationOptions(background=["Hcc", "Hbb"], published=False)
    assert parse_evaluation(options, {"background": ["Hcc", "Hbb"]}) == other
    with pytest.raises(InputError, match=r"working_points: .* are no signal efficiencies"):
        parse_evaluation(options, {"working_points": "x"})
    with pytest.raises(InputError, match=r"nearest known one is evaluation\.background"):
        parse_evaluation(options, {"backgroundd": "x"})
