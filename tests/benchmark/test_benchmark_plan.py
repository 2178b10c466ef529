import pytest
import yaml

from helpers.benchmarks import toy_benchmark, toy_plan, write_recipes
from parttag.benchmarks.options import BenchmarkOptions, directory_name
from parttag.benchmarks.plan import check_jobs
from parttag.benchmarks.planning import load_benchmark, make_plan
from parttag.errors import InputError
from parttag.options import read_options
from parttag.samples.toys import make_toys

ROWS = toy_benchmark()["rows"]


def row(**changes):
    return {"rows": {**ROWS, "PFN": {**ROWS["PFN"], **changes}}}


def test_a_row_is_its_recipe_then_the_tables_overrides_then_its_own(tmp_path):
    own = {"training": {"batch_size": 8}, "optimizer": {"lr": 0.02}}
    plan = toy_plan(tmp_path, seeds=[3, 4], **row(overrides=own))
    config = plan.rows[0].jobs[4].config
    assert config.model.particle_dims == (8, 8)
    assert (config.training.epochs, config.training.batch_size) == (2, 8)
    assert (config.optimizer.name, config.optimizer.lr) == ("ranger", 0.02)
    assert config.training.seed == 4
    assert list(config.data.classes) == ["top", "QCD"]
    assert config.data.train == (str(tmp_path / "table" / "jets" / "train.root"),)
    assert plan.rows[1].jobs[3].config.training.batch_size == 16


def test_every_row_and_seed_has_a_directory(tmp_path):
    plan = toy_plan(tmp_path, seeds=[0, 1])
    places = [str(job.directory.relative_to(tmp_path / "table")) for job in plan.jobs()]
    assert places == [f"rows/{name}/seed-{seed}" for name in ("PFN", "ParT") for seed in (0, 1)]
    names = [f"{name}, seed {seed}" for name in ("PFN", "ParT") for seed in (0, 1)]
    assert [job.name for job in plan.row_jobs()] == names


def test_rows_and_seeds_can_be_chosen(tmp_path):
    plan = toy_plan(tmp_path, seeds=[0, 1])
    assert [job.name for job in plan.jobs(["ParT"], [1])] == ["ParT, seed 1"]
    with pytest.raises(InputError, match="rows: there is no CNN; there are PFN, ParT"):
        plan.jobs(["CNN"])
    with pytest.raises(InputError, match="seeds: there is no 7; there are 0, 1"):
        plan.jobs([], [7])
    with pytest.raises(InputError, match="labels: there is no 1000; the table has none"):
        plan.jobs(labels=[1000])


PRETRAINING = {
    "once": {"recipe": "pfn.yaml", "same_jets": True, "overrides": {"training": {"seed": 9}}},
    "each": {"recipe": "pfn.yaml", "same_jets": True, "per_seed": True},
    "weights": {"weights": "old.pt"},
}


def test_what_a_row_needs_comes_first_and_is_shared(tmp_path):
    rows = {
        "shared": {"recipe": "pfn.yaml", "needs": "once"},
        "other": {"recipe": "pfn.yaml", "needs": "once"},
        "own": {"recipe": "pfn.yaml", "needs": "each"},
    }
    plan = toy_plan(tmp_path, seeds=[0, 1], rows=rows, pretraining=PRETRAINING, published=None)
    jobs = plan.jobs()
    names = ["pretraining once", "pretraining each, seed 0", "pretraining each, seed 1"]
    assert [job.name for job in jobs[:3]] == names
    assert len(jobs) == 3 + 6
    once = tmp_path / "table" / "pretraining" / "once"
    assert {job.config.init_from.path for job in jobs[3:7]} == {str(once)}
    assert jobs[0].config.training.seed == 9
    assert jobs[0].config.training.epochs == 50  # the table's overrides are the rows'
    assert [job.config.training.seed for job in jobs[1:3]] == [0, 1]
    assert jobs[8].config.init_from.path == str(once.parent / "each" / "seed-1")
    assert [job.name for job in plan.jobs(["own"], [1])] == [names[2], "own, seed 1"]


def test_every_row_is_trained_with_each_number_of_labels_and_pretrained_once(tmp_path):
    budgets = {10: {"training": {"epochs": 7, "batch_size": 5}}, 30: {}}
    rows = {
        "scratch": {"recipe": "pfn.yaml", "overrides": {"training": {"batch_size": 4}}},
        "tuned": {"recipe": "pfn.yaml", "needs": "once"},
    }
    plan = toy_plan(
        tmp_path, labels=budgets, rows=rows, pretraining=PRETRAINING, published=None, seeds=[0, 1]
    )
    jobs = plan.jobs()
    assert [job.name for job in jobs[:3]] == [
        "pretraining once",
        "scratch, 10 labels, seed 0",
        "scratch, 10 labels, seed 1",
    ]
    assert len(jobs) == 1 + 2 * 2 * 2
    assert jobs[0].config.data.num_train_jets is None
    assert jobs[1].directory == tmp_path / "table" / "rows" / "scratch" / "labels-10" / "seed-0"
    found = {
        job.name: (
            job.config.data.num_train_jets,
            job.config.training.epochs,
            job.config.training.batch_size,
        )
        for job in jobs[1:]
        if job.name.endswith("seed 0")
    }
    assert found == {
        "scratch, 10 labels, seed 0": (10, 7, 4),
        "scratch, 30 labels, seed 0": (30, 2, 4),
        "tuned, 10 labels, seed 0": (10, 7, 5),
        "tuned, 30 labels, seed 0": (30, 2, 16),
    }
    chosen = plan.jobs(["tuned"], [1], [30])
    assert [job.name for job in chosen] == ["pretraining once", "tuned, 30 labels, seed 1"]
    with pytest.raises(InputError, match="labels: there is no 20; there are 10, 30"):
        plan.jobs(labels=[20])


def test_a_pretraining_may_need_others_and_a_tokenizer(tmp_path):
    pretraining = {
        "decoder": {**PRETRAINING["each"], "needs": "backbone", "tokenizer": "tokens"},
        "backbone": PRETRAINING["once"],
        "tokens": PRETRAINING["each"],
    }
    rows = {
        "tuned": {"recipe": "pfn.yaml", "needs": "decoder"},
        "scratch": {"recipe": "pfn.yaml", "tokenizer": "tokens"},
    }
    plan = toy_plan(tmp_path, rows=rows, pretraining=pretraining, published=None, seeds=[4])
    backbone, tokens, decoder, tuned, scratch = plan.jobs()
    places = [job.directory for job in (backbone, tokens, decoder)]
    root = tmp_path / "table" / "pretraining"
    assert places == [root / "backbone", root / "tokens" / "seed-4", root / "decoder" / "seed-4"]
    assert decoder.needs == (backbone.directory, tokens.directory)
    assert decoder.config.init_from.path == str(backbone.directory)
    assert decoder.config.tokenizer_from == str(tokens.directory)
    assert (tuned.needs, tuned.config.init_from.path) == ((places[2],), str(places[2]))
    assert (scratch.needs, scratch.config.tokenizer_from) == ((places[1],), str(places[1]))
    assert (tuned.config.tokenizer_from, scratch.config.init_from) == (None, None)
    check_jobs(plan, plan.jobs())
    lost = toy_plan(tmp_path, **row(overrides={"tokenizer_from": "lost"}))
    with pytest.raises(InputError, match=r"PFN, seed 0: tokenizer_from: lost: there is no such"):
        check_jobs(lost, lost.jobs())


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"labels": {0: {}}}, "labels.0.* is 0, but must be greater than 0"),
        ({"labels": {9: {"data": {}}}}, "labels: give the jets in the section data"),
        (row(tokenizer="x"), "rows.PFN.tokenizer: there is no 'x' in the section pretraining"),
        (
            {"pretraining": {"a": {**PRETRAINING["once"], "needs": "b"}}},
            "pretraining.a.needs: there is no 'b' in the section pretraining, which has a",
        ),
        (
            {"pretraining": {"a": {"weights": "a.pt", "needs": "b"}}},
            "pretraining.a: weights are imported as they are, and need nothing",
        ),
        (
            {
                "pretraining": {
                    "a": {**PRETRAINING["once"], "needs": "b"},
                    "b": {**PRETRAINING["once"], "tokenizer": "a"},
                }
            },
            "pretraining.a needs itself",
        ),
        (
            {"pretraining": {**PRETRAINING, "a": {**PRETRAINING["once"], "needs": "each"}}},
            "pretraining.a.needs: each is trained anew for each seed, so give a per_seed: true",
        ),
        ({"seeds": []}, "seeds is .*, but must have 1 or more entries"),
        ({"seeds": [1, 1]}, "seeds: a seed is given twice"),
        ({"rows": {}}, "rows is .*, but must have 1 or more entries"),
        ({"row": ROWS}, "row: there is no such key; the nearest known one is rows"),
        ({"jets": {"toy": 3}}, "jets.toy is 3, but must be at least 20"),
        ({"overrides": {"data": {}}}, "overrides: give the jets in the section data"),
        (row(overrides={"data": {}}), "rows.PFN.overrides: all rows have the jets of"),
        (row(recipy="pfn.yaml"), "rows.PFN.recipy: there is no such key"),
        (row(published="PfN"), "rows.PFN.published: there is no published line 'PfN'"),
        (row(needs="more"), "rows.PFN.needs: there is no 'more' in the section pretraining"),
        ({"rows": {"a b": ROWS["PFN"], "a_b": ROWS["PFN"]}}, "would have the same directory"),
        ({"pretraining": {"x": {}}}, "pretraining.x: give either a recipe to train or"),
        ({"data": {"classes": {"top": "a", "QCD": "b"}, "train": "t.h5"}}, "jets.toy makes the"),
    ],
)
def test_a_wrong_table_is_refused_in_a_sentence(changes, sentence):
    with pytest.raises(InputError, match=sentence):
        read_options(BenchmarkOptions, {**toy_benchmark(), **changes})


def test_a_wrong_recipe_is_refused_with_the_row(tmp_path):
    with pytest.raises(InputError, match=r"rows\.PFN\.recipe: .*none\.yaml: there is no such"):
        toy_plan(tmp_path, **row(recipe="none.yaml"))
    wrong = row(overrides={"model": {"width": 3}})
    with pytest.raises(InputError, match=r"rows\.PFN \(pfn\.yaml\): model\.width: .* no such key"):
        toy_plan(tmp_path, **wrong)


def test_files_are_looked_for_before_anything_is_trained(tmp_path):
    make_toys(tmp_path, 20)
    jets = {part: str(tmp_path / "jets" / f"{part}.root") for part in ("train", "val", "test")}
    classes = toy_benchmark()["data"]["classes"]

    def plan(**changes):
        return toy_plan(tmp_path, jets=None, data={"classes": classes, **jets, **changes})

    check_jobs(plan(), plan().jobs())
    for changes, sentence in (
        ({"train": []}, r"data\.train is empty"),
        ({"test": []}, r"data\.test is empty"),
        ({"val": "none.h5"}, r"none\.h5: there is no such file"),
    ):
        with pytest.raises(InputError, match=sentence):
            check_jobs(plan(**changes), plan(**changes).jobs())
    weights = {"old": {"weights": "old.pt"}}
    needy = toy_plan(tmp_path, pretraining=weights, **row(needs="old"))
    with pytest.raises(InputError, match=r"pretraining old: .*old\.pt: there is no such file"):
        check_jobs(needy, needy.jobs())
    lost = toy_plan(tmp_path, **row(overrides={"init_from": {"path": "lost"}}))
    with pytest.raises(InputError, match=r"PFN, seed 0: init_from\.path: lost: there is no"):
        check_jobs(lost, lost.jobs())
    assert not (tmp_path / "table").exists()


def test_a_directory_of_something_else_is_refused(tmp_path):
    plan = toy_plan(tmp_path)
    plan.directory.mkdir()
    check_jobs(plan, plan.jobs())
    (plan.directory / "thesis.tex").touch()
    with pytest.raises(InputError, match="table exists and is no benchmark's"):
        check_jobs(plan, plan.jobs())


def test_the_command_lines_values_replace_the_files(tmp_path):
    write_recipes(tmp_path)
    path = tmp_path / "table.yaml"
    path.write_text(yaml.safe_dump(toy_benchmark(), sort_keys=False))
    path.write_text(yaml.safe_dump(toy_benchmark(labels={8: {"training": {}}}), sort_keys=False))
    options = load_benchmark(path, ["labels.8.training.epochs=3"])
    assert options.labels == {8: {"training": {"epochs": 3}}}
    path.write_text(yaml.safe_dump(toy_benchmark(), sort_keys=False))
    options = load_benchmark(path, ["seeds=[5]", "overrides.training.epochs=9"])
    config = make_plan(options, tmp_path, tmp_path / "out").rows[0].jobs[5].config
    assert (config.training.epochs, config.training.batch_size) == (9, 16)


@pytest.mark.parametrize(
    ("name", "directory"),
    [("ParT-f.t.", "ParT-f.t"), ("JEDI-net with ΣO", "JEDI-net_with_O"), ("../..", "row")],
)
def test_a_directory_has_the_name_of_its_row_without_what_files_dislike(name, directory):
    assert directory_name(name) == directory
