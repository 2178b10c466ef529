"""Jets from a network that predicts them particle by particle, beside the jets it learned from."""

from parttag.evaluation.generation.command import GenerateReport, generate
from parttag.evaluation.generation.comparison import Comparison, VariableComparison
from parttag.evaluation.generation.sampling import Sampling

__all__ = [
    "Comparison",
    "GenerateReport",
    "Sampling",
    "VariableComparison",
    "generate",
]
