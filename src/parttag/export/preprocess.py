"""``preprocess.json``: how a model's inputs are made, in the form that CMSSW reads."""

from __future__ import annotations

from collections.abc import Sequence

from parttag.export.inputs import Input, most_particles
from parttag.export.options import Inputs, Output
from parttag.jets.kinds import MaxParticles

_NO_LIMIT = 1e32
_MOST_SLOTS = 200
"""Slots of networks that take any number: as many as the files of JetClass and top tagging have."""

Entry = dict[str, object]


def describe_preprocessing(
    inputs: Sequence[Input], output_names: Sequence[str], max_particles: MaxParticles
) -> Entry:
    """Return the content of ``preprocess.json``, without the key ``parttag``."""
    content: Entry = {
        "output_names": list(output_names),
        "input_names": [item.name for item in inputs],
    }
    for item in inputs:
        longest = 1 if item.per_jet else most_particles(max_particles, item.kind) or _MOST_SLOTS
        content[item.name] = {
            "var_names": [variable.label for variable in item.variables],
            "var_infos": {
                variable.label: {
                    "median": variable.centre,
                    "norm_factor": variable.scale,
                    "replace_inf_value": variable.replace,
                    "lower_bound": variable.clip[0] if variable.clip else -_NO_LIMIT,
                    "upper_bound": variable.clip[1] if variable.clip else _NO_LIMIT,
                    "pad": 0,
                }
                for variable in item.variables
            },
            "min_length": 1,
            "max_length": longest,
        }
    return content


def describe_sources(inputs: Sequence[Input], kind: Inputs, output: Output) -> Entry:
    """Return what CMSSW's format has no word for: what each variable is made of."""
    return {
        "schema_version": 1,
        "inputs": kind,
        "output": output,
        "variables": {
            item.name: {
                variable.label: {"feature": variable.name, **variable.source}
                for variable in item.variables
            }
            for item in inputs
        },
    }
