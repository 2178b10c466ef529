import math
from dataclasses import replace
from io import StringIO

import numpy as np
import pytest
import torch
from rich.console import Console

from helpers.files import write_toptagging_h5
from parttag.cli.tables import generation_table, rounded, tokens_sentence
from parttag.data.loading.dataset import JetDataset, open_dataset
from parttag.evaluation.generation.comparison import (
    COMPARED,
    Variables,
    compare,
    tokenized_jets,
    variables_of,
)
from parttag.jets.arrays import JetArrays
from parttag.jets.batch import make_batch
from parttag.metrics import Estimate
from parttag.runs.run import Run
from parttag.testing import toy_jets
from parttag.training.objectives.next_particle import token_sums

NAMES = [variable.name for variable in COMPARED]


@pytest.fixture
def jets() -> JetArrays:
    return toy_jets(50, seed=8)


@pytest.fixture
def dataset(jets, tmp_path) -> JetDataset:
    return open_dataset([write_toptagging_h5(tmp_path / "jets.h5", jets)], {})


def test_equal_jets_are_at_no_distance(decoder_run: Run, dataset, jets):
    comparison, expected = compare(decoder_run.model, variables_of(jets), dataset)
    assert (comparison.num_generated, comparison.num_reference) == (50, 50)
    assert [variable.name for variable in comparison.variables] == NAMES
    assert "abs_eta" not in NAMES
    for variable in comparison.variables:
        # The mass of a jet of one particle is rounding.
        assert variable.wasserstein < 1e-3
        assert variable.ratio.value == pytest.approx(1, abs=1e-3)
        assert variable.generated.value == pytest.approx(variable.reference.value, rel=1e-3)
        # Two draws of 50 jets differ by some tenth of σ.
        assert 0.05 < variable.wasserstein_by_chance.value < 0.5
    np.testing.assert_allclose(expected.column("num_particles"), jets.lengths)


def test_means_have_their_errors_and_distances_are_in_standard_deviations(
    decoder_run: Run, dataset, jets
):
    values = np.repeat(variables_of(jets).values, 2, axis=0)
    number = NAMES.index("num_particles")
    values[:, number] += 5.0
    comparison, _ = compare(decoder_run.model, Variables(values, np.ones(100)), dataset)
    found = comparison.variables[number]
    lengths = jets.lengths.astype(float)
    assert found.unit == ""
    assert found.spread == pytest.approx(lengths.std())
    assert found.wasserstein == pytest.approx(5 / lengths.std())
    assert found.reference.value == pytest.approx(lengths.mean())
    assert found.reference.error == pytest.approx(lengths.std(ddof=1) / 50**0.5)
    assert found.generated.error == pytest.approx(np.repeat(lengths, 2).std(ddof=1) / 10)
    ratio = 1 + 5 / lengths.mean()
    assert found.ratio.value == pytest.approx(ratio)
    relative = math.hypot(
        found.reference.error / lengths.mean(), found.generated.error / (lengths.mean() + 5)
    )
    assert found.ratio.error == pytest.approx(ratio * relative)


def test_the_tokens_alone_cost_what_the_reference_loses_through_them(
    decoder_run: Run, dataset, jets
):
    network = decoder_run.model
    comparison, _ = compare(network, variables_of(jets), dataset)
    found = dict(zip(NAMES, comparison.variables, strict=True))
    assert found["num_particles"].wasserstein_tokenized == 0
    with torch.no_grad():
        returned = variables_of(tokenized_jets(network, make_batch(jets)))
    moved = np.sort(returned.column("pt")) - np.sort(variables_of(jets).column("pt"))
    assert found["pt"].wasserstein_tokenized == pytest.approx(
        np.abs(moved).mean() / found["pt"].spread, rel=1e-4
    )


def test_perplexity_and_accuracies_are_those_of_the_objective(decoder_run: Run, dataset, jets):
    whole, _ = compare(decoder_run.model, variables_of(jets), dataset)
    with torch.no_grad():
        sums = token_sums(decoder_run.model, make_batch(jets))
    assert whole.perplexity == pytest.approx(math.exp(sums.loss / sums.weight), rel=1e-5)
    assert whole.token_accuracy == pytest.approx(
        (sums.metrics["token_accuracy"] / sums.weight).item()
    )
    parts, _ = compare(decoder_run.model, variables_of(jets), dataset, batch_jets=7)
    assert parts.perplexity == pytest.approx(whole.perplexity, rel=1e-5)
    for one, other in zip(parts.variables, whole.variables, strict=True):
        assert one.wasserstein_tokenized == pytest.approx(other.wasserstein_tokenized, rel=1e-3)


def test_the_table_has_a_row_for_each_variable_and_fits_a_terminal(decoder_run: Run, dataset, jets):
    comparison, _ = compare(decoder_run.model, variables_of(jets), dataset)
    # Of as many digits as a comparison of some thousand jets has.
    usual = replace(comparison.variables[0], ratio=Estimate(1.0246, 0.0026))
    usual = replace(usual, generated=Estimate(0.9176, 0.0017), reference=Estimate(0.8955, 0.0015))
    variables = [replace(usual, name=variable.name) for variable in comparison.variables]
    table = generation_table(replace(comparison, variables=tuple(variables)))
    console = Console(width=80, file=StringIO())
    console.print(table)
    text = console.file.getvalue()
    for name in NAMES:
        assert f" {name} " in text
    assert text.count("0.9176(17)   0.8955(15)   1.0246(26)   0.000") == len(NAMES)
    assert f"perplexity {comparison.perplexity:.2f}" in tokens_sentence(comparison)


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (37.437, 1.0, "37.4(10)"),
        (545.2, 7.6, "545(8)"),
        (0.88741, 0.0142, "0.887(14)"),
        (1234.0, 25.4, "1234(25)"),
        (0.5, 0.0, "0.5"),
        (3.14159, math.nan, "3.142"),
    ],
)
def test_numbers_have_as_many_digits_as_their_errors_say(value, error, text):
    assert rounded(Estimate(value, error)) == text
