"""The pictures of an evaluation, in the looks of Scikit-HEP; every function writes one PNG."""

from parttag.plotting.curves import draw_roc, plot_roc, plot_training
from parttag.plotting.distributions import Sample, plot_distribution, plot_scores
from parttag.plotting.figure import Target, cycle, new_figure, plain
from parttag.plotting.kinematics import plot_mass_sculpting, plot_rejection_by_pt

__all__ = [
    "Sample",
    "Target",
    "cycle",
    "draw_roc",
    "new_figure",
    "plain",
    "plot_distribution",
    "plot_mass_sculpting",
    "plot_rejection_by_pt",
    "plot_roc",
    "plot_scores",
    "plot_training",
]
