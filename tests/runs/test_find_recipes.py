"""Shipped configurations are found by name, from a checkout as from a wheel."""

from pathlib import Path

import pytest

from parttag.benchmarks.options import BenchmarkOptions
from parttag.benchmarks.planning import make_plan
from parttag.errors import InputError
from parttag.models import MODELS
from parttag.runs.config import load_config
from parttag.runs.recipes import find_recipe, list_recipes

CONFIGS = Path(__file__).parents[2] / "configs"


def test_a_recipe_is_found_by_its_name_with_and_without_suffix(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    expected = CONFIGS / "toptagging" / "pfn.yaml"
    for name in ("toptagging/pfn", "toptagging/pfn.yaml", Path("toptagging", "pfn")):
        assert find_recipe(name).samefile(expected)
    assert find_recipe("benchmarks/smoke").samefile(CONFIGS / "benchmarks" / "smoke.yaml")


def test_a_file_that_is_there_wins(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = tmp_path / "toptagging" / "pfn.yaml"
    own.parent.mkdir()
    own.write_text("model: {name: pfn}")
    assert find_recipe("toptagging/pfn.yaml").resolve() == own.resolve()
    assert not find_recipe("toptagging/pfn").is_relative_to(tmp_path)
    assert find_recipe("toptagging/pfn.yaml", tmp_path / "toptagging") != own
    assert find_recipe("pfn.yaml", tmp_path / "toptagging") == own


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("toptagging/pfm", "toptagging/pfn"),
        ("particle_trasformer_small", "toptagging/particle_transformer_small"),
        ("configs/toptagging/lgm.yaml", "toptagging/lgn"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(name, nearest, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="no such file, and no shipped recipe") as error:
        find_recipe(name)
    assert nearest in str(error.value).split("the nearest are ")[1].split(", ")[0]


def test_the_list_has_every_configuration_of_a_training_and_says_what_it_is():
    recipes = {recipe.name: recipe for recipe in list_recipes()}
    paths = [p for p in CONFIGS.rglob("*.yaml") if p.parent.name != "benchmarks"]
    names = {p.relative_to(CONFIGS).with_suffix("").as_posix() for p in paths}
    assert set(recipes) == names
    for recipe in recipes.values():
        assert find_recipe(recipe.name) == recipe.path
        assert 10 < len(recipe.description) < 160
    tokens = recipes["pretraining/tokenizer_small"]
    assert tokens.description == "A tokenizer for two CPU cores, on the top-tagging reference jets"
    assert (tokens.network, tokens.objective) == ("particle_tokenizer", "tokenize")
    assert recipes["toptagging/lgn"].network == "lgn"


@pytest.mark.parametrize("name", MODELS)
def test_the_recipe_of_every_network_is_one_of_its_own(name):
    assert load_config(find_recipe(MODELS[name].recipe)).model.name == name


def test_a_table_of_ones_own_takes_shipped_recipes_by_name(tmp_path):
    content = {
        "data": {"classes": {"top": ["label_top"], "QCD": ["label_QCD"]}},
        "rows": {"PFN": {"recipe": "toptagging/pfn"}, "own": {"recipe": "own.yaml"}},
    }
    (tmp_path / "own.yaml").write_text("model: {name: pcnn}")
    plan = make_plan(BenchmarkOptions(**content), tmp_path, tmp_path / "out")
    assert [row.config.model.name for row in plan.rows] == ["pfn", "pcnn"]
    content["rows"]["PFN"]["recipe"] = "toptagging/pfm"
    with pytest.raises(InputError, match=r"rows\.PFN\.recipe: .*nearest are toptagging/pfn"):
        make_plan(BenchmarkOptions(**content), tmp_path, tmp_path / "out")
