"""The pictures of an evaluation, and what they show as histograms.

Every function draws one panel on ``ax``, which it makes if there is none, and returns it; those
whose names end in ``_figure`` return a figure of all panels, and ``save_figure`` writes it::

    axes = roc({"mine": curve}, background="QCD", style="CMS", label="Simulation")
    save_figure(axes.figure, "roc.pdf")
"""

from parttag.plotting.applications import fraction_scan, reliability
from parttag.plotting.curves import Quantity, roc, training
from parttag.plotting.distributions import (
    Sample,
    SignalScores,
    distribution,
    scores,
    signal_scores,
)
from parttag.plotting.explanation import importance_figure, places_figure
from parttag.plotting.figures import (
    distribution_figure,
    fraction_scan_figure,
    mass_sculpting_figure,
    rejection_by_pt_figure,
    reliability_figure,
    roc_figure,
    scores_figure,
    training_figure,
)
from parttag.plotting.histograms import (
    distribution_histograms,
    mass_histograms,
    score_histograms,
)
from parttag.plotting.kinematics import (
    SignalMasses,
    efficiency_by_pt,
    mass_sculpting,
    rejection_by_pt,
    signal_masses,
)
from parttag.plotting.spectra import reweighting_figure, spectra
from parttag.plotting.styles import FORMATS, PictureFormat, Style, save_figure
from parttag.plotting.tasks import confusion, regression, task_figure, vertices

__all__ = [
    "FORMATS",
    "PictureFormat",
    "Quantity",
    "Sample",
    "SignalMasses",
    "SignalScores",
    "Style",
    "confusion",
    "distribution",
    "distribution_figure",
    "distribution_histograms",
    "efficiency_by_pt",
    "fraction_scan",
    "fraction_scan_figure",
    "importance_figure",
    "mass_histograms",
    "mass_sculpting",
    "mass_sculpting_figure",
    "places_figure",
    "regression",
    "rejection_by_pt",
    "rejection_by_pt_figure",
    "reliability",
    "reliability_figure",
    "reweighting_figure",
    "roc",
    "roc_figure",
    "save_figure",
    "score_histograms",
    "scores",
    "scores_figure",
    "signal_masses",
    "signal_scores",
    "spectra",
    "task_figure",
    "training",
    "training_figure",
    "vertices",
]
