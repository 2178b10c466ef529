"""The base of every typed option: unknown keys are refused, values are fixed once read.

Each part of parttag declares its options beside its code (a model beside the network, a schedule
beside the schedule); ``config.py`` composes them into the configuration of a run.
"""

from pydantic import BaseModel, ConfigDict


class Options(BaseModel):
    """Typed options with ranges; the string under a field documents it in the JSON schema."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False
    )
