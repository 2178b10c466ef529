"""The pictures of an evaluation, in the looks of Scikit-HEP; every function writes one PNG."""

from parttag.evaluation.plots.curves import plot_roc, plot_training
from parttag.evaluation.plots.distributions import Sample, plot_distribution, plot_scores
from parttag.evaluation.plots.kinematics import plot_mass_sculpting, plot_rejection_by_pt

__all__ = [
    "Sample",
    "plot_distribution",
    "plot_mass_sculpting",
    "plot_rejection_by_pt",
    "plot_roc",
    "plot_scores",
    "plot_training",
]
