import re
from pathlib import Path

import pytest

from parttag.benchmarks.footnotes import configuration_notes
from parttag.benchmarks.planning import load_benchmark, make_plan

CONFIGS = Path(__file__).parents[2] / "configs" / "benchmarks"


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_row_of_every_shipped_table_is_a_configuration(path, tmp_path):
    plan = make_plan(load_benchmark(path), path.parent, tmp_path)
    assert len(plan.jobs()) >= len(plan.rows) * len(plan.options.seeds)


def test_every_row_of_the_cpu_table_sees_at_most_100_000_jets_of_the_same_20_000(tmp_path):
    path = CONFIGS / "toptagging_cpu.yaml"
    for job in make_plan(load_benchmark(path), path.parent, tmp_path).jobs():
        if job.is_row:
            training = job.config.training
            assert job.config.data.num_train_jets == 20_000
            jets = (training.steps or 0) * training.batch_size or training.epochs * 20_000
            assert jets <= 100_000
            assert training.max_seconds == 900


def test_the_rows_of_the_tables_of_top_tagging_are_the_same(tmp_path):
    names = [
        set(load_benchmark(CONFIGS / f"{name}.yaml").rows)
        for name in ("toptagging", "toptagging_cpu", "smoke")
    ]
    assert names[0] == names[2]
    # It is in the table for GPUs alone.
    assert names[1] == names[0] - {"ParT-f.t."}


def start_of_part(tmp_path, *overrides):
    """Return the job that the fine-tuned ParT starts from in the table of top tagging."""
    options = load_benchmark(CONFIGS / "toptagging.yaml", overrides)
    plan = make_plan(options, CONFIGS, tmp_path)
    start, row = plan.jobs(["ParT-f.t."], [0])
    assert row.config.init_from.path == str(start.directory)
    return start, configuration_notes(
        next(row for row in plan.rows if row.name == "ParT-f.t."), options.pretraining
    )


def test_the_fine_tuned_transformer_starts_from_the_published_weights(tmp_path):
    start, notes = start_of_part(tmp_path, "pretraining.ParT.weights=models/ParT_kin.pt")
    assert start.weights_path == Path("models/ParT_kin.pt")
    assert (start.weights.model, start.weights.features) == ("particle_transformer", "kin")
    assert notes[0].startswith("fine-tuned from the weights ParT_kin.pt, with a new head")


def test_the_fine_tuned_transformer_may_start_from_a_training_of_ones_own(tmp_path):
    text = (CONFIGS / "toptagging.yaml").read_text()
    (override,) = re.findall(r"'(pretraining\.ParT=.*)'", text)
    start, notes = start_of_part(tmp_path, override.replace("FILES", "jets.root"))
    assert start.weights is None
    assert start.config.model.name == "particle_transformer"
    assert len(start.config.data.classes) == 10
    assert (start.config.data.train, start.config.data.val) == (("jets.root",), ("jets.root",))
    assert notes[0].startswith("fine-tuned from a training of jetclass/particle_transformer_kin")


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_no_footnote_says_what_the_configuration_does(path, tmp_path):
    plan = make_plan(load_benchmark(path), path.parent, tmp_path)
    for row in plan.rows:
        footnote = row.options.footnote or ""
        # LorentzNet has no other way, and so no option that could say it.
        assert "padding" not in footnote or row.config.model.name == "lorentz_net"
        assert not re.search("pair bias|fine-tuned|bf16|epochs|(?<!pre-)trained ", footnote)


def test_the_smoke_table_compares_toys_with_nothing():
    options = load_benchmark(CONFIGS / "smoke.yaml")
    assert options.published is None
    assert not any(row.published for row in options.rows.values())
