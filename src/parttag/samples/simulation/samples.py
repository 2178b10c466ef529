"""The samples that can be simulated, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from parttag.options import read_options
from parttag.samples.simulation.jetclass import JetClass, JetClassOptions
from parttag.samples.simulation.masses import Masses
from parttag.samples.simulation.sample import Sample
from parttag.samples.simulation.toptagging import TopTagging, TopTaggingOptions

SampleName = Literal["toptagging", "jetclass", "masses"]


def make_sample(name: SampleName, options: Mapping[str, Any]) -> Sample:
    """Return the sample of this name.

    Raises
    ------
    InputError
        If an option is out of its range, or not one of this sample.
    """
    match name:
        case "toptagging":
            return TopTagging(read_options(TopTaggingOptions, options))
        case "jetclass":
            return JetClass(read_options(JetClassOptions, options))
        case "masses":
            return Masses(read_options(JetClassOptions, options))
