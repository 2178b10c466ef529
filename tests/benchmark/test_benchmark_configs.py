import re
from pathlib import Path

import pytest

from parttag.benchmark.planning import load_benchmark, make_plan

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
    # There is no pre-trained Particle Transformer that a CPU could have.
    assert names[1] == names[0] - {"ParT-f.t."}


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
