"""Generated jets beside the jets that a network learned from, as numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64

from parttag.data.loading.dataset import JetDataset
from parttag.evaluation.generation.sampling import bare_jets
from parttag.inspection.chance import by_chance
from parttag.inspection.compare import distance
from parttag.jets.arrays import JetArrays
from parttag.jets.batch import JetBatch, make_batch
from parttag.jets.variables import JET_VARIABLES, jet_variables
from parttag.metrics import Estimate
from parttag.metrics.estimate import effective_number, json_number
from parttag.models.omnijet import OmniJet
from parttag.models.particle_tokenizer import frame_axis, token_p4
from parttag.training.objectives.next_particle import token_sums

COMPARED = tuple(variable for variable in JET_VARIABLES if variable.name != "abs_eta")
"""What is compared; generated jets have no direction of their own."""

_COLUMNS = [JET_VARIABLES.index(variable) for variable in COMPARED]
_BATCH_JETS = 256


@dataclass(frozen=True)
class VariableComparison:
    """One variable of generated and reference jets.

    Wasserstein distances are how far values must move on average, in standard deviations of the
    reference, ``spread``.
    """

    name: str
    unit: str
    generated: Estimate
    """Mean, with its statistical error, as all estimates here."""
    reference: Estimate
    ratio: Estimate
    """Of the means."""
    spread: float
    wasserstein: float
    """Of the generated jets from the reference jets."""
    wasserstein_tokenized: float
    """Of the reference jets, turned into tokens and back, from themselves: what the tokenizer, and
    the greatest number of particles, cost."""
    wasserstein_by_chance: Estimate
    """Of two samples of the reference of the two sizes, on average: what is left if all is
    perfect."""

    def to_json(self) -> dict[str, Any]:
        """Return it as the JSON file holds it."""
        return {
            "unit": self.unit,
            "generated": self.generated.to_json(),
            "reference": self.reference.to_json(),
            "ratio": self.ratio.to_json(),
            "spread": json_number(self.spread),
            "wasserstein": json_number(self.wasserstein),
            "wasserstein_tokenized": json_number(self.wasserstein_tokenized),
            "wasserstein_by_chance": self.wasserstein_by_chance.to_json(),
        }


@dataclass(frozen=True)
class Comparison:
    """Of generated jets with reference jets, and how well the network guesses the latter."""

    num_generated: int
    num_reference: int
    variables: tuple[VariableComparison, ...]
    perplexity: float
    """exp of the mean −ln p of the reference's tokens: how many equally likely ones there are."""
    token_accuracy: float
    unigram_accuracy: float

    def to_json(self) -> dict[str, Any]:
        """Return it as the JSON file holds it."""
        return {
            "num_generated": self.num_generated,
            "num_reference": self.num_reference,
            "perplexity": json_number(self.perplexity),
            "token_accuracy": self.token_accuracy,
            "unigram_accuracy": self.unigram_accuracy,
            "variables": {variable.name: variable.to_json() for variable in self.variables},
        }


@dataclass(frozen=True, eq=False)
class Variables:
    """The ``COMPARED`` variables of some jets, and the jets' weights."""

    values: Float64[np.ndarray, "jets variables"]
    jet_weights: Float64[np.ndarray, " jets"]

    def column(self, name: str) -> Float64[np.ndarray, " jets"]:
        """Return the variable of this name."""
        return self.values[:, [variable.name for variable in COMPARED].index(name)]


def variables_of(jets: JetArrays) -> Variables:
    """Return the compared variables of good jets."""
    return Variables(jet_variables(jets)[:, _COLUMNS], jets.jet_weights.astype(np.float64))


def compare(
    network: OmniJet,
    generated: Variables,
    reference: JetDataset,
    seed: int = 0,
    *,
    batch_jets: int = _BATCH_JETS,
) -> tuple[Comparison, Variables]:
    """Return the comparison, and the variables of the reference jets.

    Parameters
    ----------
    network
        The one that generated, in evaluation mode.
    seed
        Of what is drawn for the distances by chance.
    batch_jets
        Jets of the reference that the network sees at a time.
    """
    whole, tokenized = [], []
    sums = torch.zeros(4, dtype=torch.float64)
    for jets in _chunks(reference, batch_jets):
        batch = make_batch(jets, max_particles=network.max_particles)
        batch = batch.to(network.backbone.embedding.weight.device)
        with torch.inference_mode():
            found = token_sums(network, batch)
            values = [found.loss, found.weight, *found.metrics.values()]
            sums += torch.stack([value.double().cpu() for value in values])
            tokenized.append(variables_of(tokenized_jets(network, batch)))
        whole.append(variables_of(jets))
    expected, returned = _joined(whole), _joined(tokenized)
    loss, weight, right, most_frequent = sums.tolist()
    comparison = Comparison(
        num_generated=len(generated.values),
        num_reference=len(expected.values),
        variables=tuple(
            _compare_variable(column, generated, expected, returned, seed)
            for column in range(len(COMPARED))
        ),
        perplexity=math.exp(loss / weight),
        token_accuracy=right / weight,
        unigram_accuracy=most_frequent / weight,
    )
    return comparison, expected


def tokenized_jets(network: OmniJet, batch: JetBatch) -> JetArrays:
    """Return jets whose particles were turned into tokens and back."""
    tokenizer = network.backbone.tokenizer
    features = tokenizer.decode(tokenizer.codes(batch), batch.lengths)
    p4 = token_p4(features, frame_axis(batch, tokenizer.options.frame))
    return bare_jets(p4, batch.lengths, batch.jet_weights.cpu().numpy())


def _compare_variable(
    column: int,
    generated: Variables,
    reference: Variables,
    tokenized: Variables,
    seed: int,
) -> VariableComparison:
    variable = COMPARED[column]
    values, expected = generated.values[:, column], reference.values[:, column]
    weights, expected_weights = generated.jet_weights, reference.jet_weights

    def moved(
        values: Float64[np.ndarray, " jets"], jet_weights: Float64[np.ndarray, " jets"]
    ) -> float:
        found = distance(variable.name, values, expected, jet_weights, expected_weights)
        return found.wasserstein

    spread = math.sqrt(_variance(expected, expected_weights))
    chance = by_chance(
        expected, expected_weights, (len(values), len(expected)), spread=spread, seed=seed
    )
    mean, reference_mean = _mean(values, weights), _mean(expected, expected_weights)
    return VariableComparison(
        name=variable.name,
        unit=variable.unit,
        generated=mean,
        reference=reference_mean,
        ratio=_ratio(mean, reference_mean),
        spread=spread,
        wasserstein=moved(values, weights),
        wasserstein_tokenized=moved(tokenized.values[:, column], tokenized.jet_weights),
        wasserstein_by_chance=chance.wasserstein,
    )


def _mean(
    values: Float64[np.ndarray, " jets"], jet_weights: Float64[np.ndarray, " jets"]
) -> Estimate:
    """Return the weighted mean; one jet alone gives no error."""
    number = effective_number(jet_weights)
    mean = float(np.average(values, weights=jet_weights))
    if number <= 1:
        return Estimate(mean)
    squares = float((jet_weights**2 * (values - mean) ** 2).sum())
    return Estimate(mean, math.sqrt(squares * number / (number - 1)) / float(jet_weights.sum()))


def _variance(
    values: Float64[np.ndarray, " jets"], jet_weights: Float64[np.ndarray, " jets"]
) -> float:
    mean = np.average(values, weights=jet_weights)
    return max(float(np.average((values - mean) ** 2, weights=jet_weights)), 0.0)


def _ratio(one: Estimate, other: Estimate) -> Estimate:
    """Return the ratio of two independent numbers; NaN over 0."""
    if other.value == 0:
        return Estimate(math.nan)
    relative = math.hypot(other.error / other.value, one.error / one.value) if one.value else 0.0
    return Estimate(one.value / other.value, abs(one.value / other.value) * relative)


def _chunks(reference: JetDataset, batch_jets: int) -> Iterator[JetArrays]:
    for start in range(0, len(reference), batch_jets):
        yield reference.take(np.arange(start, min(start + batch_jets, len(reference))))


def _joined(parts: list[Variables]) -> Variables:
    return Variables(
        np.concatenate([part.values for part in parts]),
        np.concatenate([part.jet_weights for part in parts]),
    )
