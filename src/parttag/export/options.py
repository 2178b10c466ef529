"""What an export is to be: its inputs, its output, and for whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from parttag.errors import InputError, option
from parttag.options import local_name
from parttag.runs.yaml_files import read_content

Inputs = Literal["prepared", "raw"]
"""Features that the caller has computed and standardized, or four-momenta and columns."""
Output = Literal["softmax", "logits", "embedding"]
Convention = Literal["cms", "atlas"]
ExportPrecision = Literal["fp32", "fp16", "int8"]
Attention = Literal["fused", "plain"]

FP32_LIMIT = 1e-5
"""Largest difference of an fp32 model's scores from the run's own."""
_LIMITS = {"fp32": FP32_LIMIT, "fp16": 0.02, "int8": 0.2}


@dataclass(frozen=True)
class ExportOptions:
    """How a run is exported.

    Parameters
    ----------
    inputs
        ``prepared``: features that the caller computes and standardizes as ``preprocess.json``
        says. ``raw``: four-momenta, columns and the jet's own four-momentum; the graph does the
        rest.
    output
        ``softmax``, ``logits``, or what the network makes of a jet before its head.
    convention
        ``cms``: (jets, variables, slots). ``atlas``: one jet a call, as Athena reads salt's models.
    precision
        Of weights and arithmetic: ``fp16``, or ``int8`` for weights of linear layers.
    attention
        ``fused``: one node of ONNX Runtime's own an attention. ``plain``: nodes of ONNX alone.
    names
        What the reader calls a variable, by parttag's name; JetClass's names where nothing is said.
    model_name
        What Athena's outputs begin with; by default the letters of the run's directory.
    max_difference
        Refuse a model with a score that is farther from the run's; 0.02 of fp16, 0.2 of int8 and
        1e-5, which is the most that may be asked for, of fp32.
    """

    inputs: Inputs = "prepared"
    output: Output = "softmax"
    convention: Convention = "cms"
    precision: ExportPrecision = "fp32"
    attention: Attention = "fused"
    names: Mapping[str, str] = field(default_factory=dict)
    model_name: str = ""
    max_difference: float | None = None

    def __post_init__(self) -> None:
        """Refuse what does not exist or does not go together.

        Raises
        ------
        InputError
            If there is something.
        """
        for key, choices in (
            ("inputs", Inputs),
            ("output", Output),
            ("convention", Convention),
            ("precision", ExportPrecision),
            ("attention", Attention),
        ):
            if getattr(self, key) not in get_args(choices):
                raise InputError(
                    f"{option(key, getattr(self, key))} is none of {', '.join(get_args(choices))}"
                )
        if self.convention == "atlas" and self.output != "softmax":
            raise InputError(
                f"{option('convention', 'atlas')} has one output a class, its score: leave out "
                f"{option('output', self.output)}"
            )
        if self.max_difference is not None and not self.max_difference > 0:
            raise InputError(
                f"{option('max_difference', f'{self.max_difference:g}')} is not above 0"
            )
        if self.precision == "fp32" and (self.max_difference or 0) > FP32_LIMIT:
            raise InputError(
                f"{option('max_difference', _text(self.max_difference))} is more than "
                f"{FP32_LIMIT:g}, which every fp32 model must keep; give less, or leave it out"
            )

    @property
    def limit(self) -> float:
        """The largest difference of a score that is accepted."""
        return _LIMITS[self.precision] if self.max_difference is None else self.max_difference


def _text(value: float | None) -> str:
    return f"{value:g}"


def read_names(names: Mapping[str, str] | str | Path | None) -> Mapping[str, str]:
    """Return the reader's names by parttag's, from a mapping or a YAML file that is one.

    Raises
    ------
    InputError
        If the file cannot be read, or is something else.
    """
    if names is None:
        return {}
    content = read_content(Path(local_name(names))) if isinstance(names, str | Path) else names
    texts = {key: value for key, value in content.items() if isinstance(value, str)}
    if len(texts) < len(content):
        wrong = next(key for key in content if key not in texts)
        raise InputError(
            f"{option('names', '')}: {wrong} must have a name beside it, as in log_pt: pfcand_logpt"
        )
    return texts
