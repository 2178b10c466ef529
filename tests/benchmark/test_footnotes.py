"""What is said of a row is what its configuration says, whatever was overridden."""

from pathlib import Path

import pytest

from helpers.benchmarks import toy_benchmark, toy_plan
from helpers.files import write_jetclass_root
from parttag.benchmarks.footnotes import change_notes, changes, configuration_notes, why_unpublished
from parttag.benchmarks.options import BenchmarkOptions, PretrainingOptions, RowOptions
from parttag.benchmarks.plan import Job, Row
from parttag.data.jet_files import JetFiles
from parttag.data.preparation.prepare import prepare
from parttag.options import read_options
from parttag.runs.config import build_config
from parttag.samples.toys import make_toys, toy_files
from parttag.testing import toy_jets

MASKED = "padding takes no part (in the published network it does)"
PLAIN = "the Particle Transformer without the pair bias"
ENTRIES = {
    "weights": PretrainingOptions(weights="folder/ParticleNet_kin.pt", model="particle_net"),
    "trained": PretrainingOptions(recipe="pfn.yaml"),
    "same": PretrainingOptions(recipe="pfn.yaml", same_jets=True),
}


def notes_of(needs=None, tokenizer=None, labels=None, **sections):
    content = {"data": {"classes": {"top": "a", "QCD": "b"}}, "model": {"name": "pfn"}, **sections}
    options = RowOptions(recipe="a.yaml", needs=needs, tokenizer=tokenizer)
    job = Job("row", Path("row"), build_config(content))
    return configuration_notes(Row("row", options, {0: job}, labels), ENTRIES)


@pytest.mark.parametrize("name", ["jedi_net", "pct"])
def test_padding_takes_the_part_that_the_configuration_gives_it(name):
    assert notes_of(model={"name": name}) == [MASKED]
    padded = notes_of(model={"name": name, "reference_padding": True})
    assert padded == ["padding takes part, as in the published network"]


def test_the_lgn_says_how_the_published_jets_were_ranked():
    masked, ranking = notes_of(model={"name": "lgn"})
    assert masked == MASKED
    assert "AUC 0.964 and 435 ± 95 at 30 % rank them by one raw logit" in ranking
    assert "AUC 0.979 and 559 ± 107" in ranking


def test_lorentz_net_says_whether_its_steps_are_clamped():
    assert notes_of(model={"name": "lorentz_net"})[1] == MASKED
    clamped, _ = notes_of(model={"name": "lorentz_net", "reference": True})
    assert "therefore not Lorentz invariant" in clamped


def test_a_transformer_without_the_pair_bias_says_so():
    assert notes_of(model={"name": "particle_transformer"}) == []
    assert notes_of(model={"name": "particle_transformer", "pair_bias": False}) == [PLAIN]


@pytest.mark.parametrize(
    ("needs", "load", "note"),
    [
        ("weights", "backbone", "fine-tuned from the weights ParticleNet_kin.pt, with a new head"),
        ("trained", "all", "fine-tuned from a training of pfn.yaml, backbone and head"),
        (
            "same",
            "backbone",
            "fine-tuned from a training of pfn.yaml on the same jets, with a new head",
        ),
        (None, "backbone", "fine-tuned from runs/x, with a new head"),
    ],
)
def test_what_is_fine_tuned_says_from_what(needs, load, note):
    assert notes_of(needs, init_from={"path": "runs/x", "load": load}) == [note]


def test_what_stays_frozen_is_told():
    init = {"path": "runs/x", "freeze": ["backbone.blocks.*", "backbone.norm.*"]}
    told = "with a new head, backbone.blocks.* frozen, backbone.norm.* frozen"
    assert notes_of(init_from=init) == [f"fine-tuned from runs/x, {told}"]


def test_precision_and_a_part_of_the_jets_are_told():
    assert notes_of(training={"precision": "bf16"}) == ["trained in bf16"]
    data = {"classes": {"top": "a", "QCD": "b"}, "num_train_jets": 20_000}
    assert notes_of(data=data) == ["trained on 20,000 of the training jets"]
    # Where the table has numbers of labels, it says so itself.
    assert notes_of(data=data, labels=20_000) == []


def test_the_tokens_that_are_read_have_an_origin():
    same = "reads the tokens of a training of pfn.yaml on the same jets"
    assert notes_of(tokenizer="same", tokenizer_from="runs/x") == [same]
    assert notes_of(tokenizer_from="runs/x") == ["reads the tokens of runs/x"]


# --------------------------------------------------------------------------------- the recipes


def test_only_what_is_overridden_with_another_value_is_unlike_the_recipe(tmp_path):
    own = {"overrides": {"model": {"jet_dims": [4], "particle_dims": [8, 8], "max_particles": 9}}}
    rows = {"PFN": {"recipe": "pfn.yaml", **own}}
    overrides = {"training": {"batch_size": 512, "device": "cpu", "max_seconds": 9}}
    plan = toy_plan(tmp_path, rows=rows, overrides=overrides, seeds=[3])
    found = {key: (change.value, change.recipe) for key, change in changes(plan.rows[0]).items()}
    assert found == {"model.jet_dims": ("[4]", "[8]"), "model.max_particles": ("9", "128")}


def test_what_all_rows_have_in_place_of_their_recipes_is_told_once(tmp_path):
    schedule = {"name": "cosine", "final": 0.1}
    rows = {
        "a": {"recipe": "pfn.yaml", "overrides": {"optimizer": {"lr": 0.25}}},
        "b": {"recipe": "pfn.yaml", "overrides": {"training": {"batch_size": 512}}},
        "c": {"recipe": "transformer.yaml", "overrides": {"training": {"batch_size": 512}}},
    }
    plan = toy_plan(
        tmp_path, rows=rows, overrides={"schedule": schedule, "training": {"epochs": 2}}
    )
    common, own = change_notes(plan.rows)
    expected = "schedule cosine, schedule.final 0.1, training.epochs 2"
    assert common == f"All rows, whatever their recipes: {expected}."
    assert own == ["unlike its recipe: optimizer.lr 0.25 (0.001)", None, None]
    common, own = change_notes(plan.rows[:1])
    assert common is None
    assert own[0].startswith("unlike its recipe: optimizer.lr 0.25 (0.001), schedule cosine (flat+")


def test_a_recipe_that_the_row_completes_is_not_compared_with(tmp_path):
    (tmp_path / "part.yaml").write_text("training: {epochs: 3}\n")
    rows = {"a": {"recipe": "part.yaml", "overrides": {"model": {"name": "pfn"}}}}
    plan = toy_plan(tmp_path, rows=rows)
    assert plan.rows[0].recipe is None
    assert change_notes(plan.rows) == (None, [None])


# ---------------------------------------------------------------------------- published numbers


def table(evaluation=None, **data):
    classes = {"QCD": "label_QCD", "top": "label_top"}
    data = {"classes": classes, "test": "test.h5", **data}
    content = toy_benchmark(jets=None, data=data, evaluation=evaluation or {})
    return read_options(BenchmarkOptions, content)


def test_published_numbers_stand_beside_reference_jets_of_their_classes_alone():
    assert why_unpublished(table(), test_is_simulated=False) is None
    start = "published numbers are left out: "
    simulated = why_unpublished(table(), test_is_simulated=True)
    assert simulated == start + "the test jets were made by parttag, theirs are others"
    not_wanted = why_unpublished(table({"published": False}), test_is_simulated=False)
    assert not_wanted == start + "evaluation.published is false"
    quarks = table(classes={"quark": "label_q", "gluon": "label_g"})
    other = why_unpublished(quarks, test_is_simulated=False)
    assert other == start + "they are of the classes QCD, top"


def test_jets_of_parttag_are_known_in_files_and_in_stores_made_of_them(tmp_path):
    make_toys(tmp_path, 20)
    simulated = toy_files(tmp_path)[0]
    foreign = str(write_jetclass_root(tmp_path / "a.root", toy_jets(20)))
    assert not JetFiles([foreign]).is_simulated
    assert JetFiles([foreign, simulated]).is_simulated
    for name, source, expected in (("ours", simulated, True), ("theirs", foreign, False)):
        prepare([source], tmp_path / name)
        assert JetFiles(tmp_path / name).is_simulated == expected
    Path(simulated).unlink()
    assert not JetFiles(tmp_path / "ours").is_simulated  # nothing says so any more
