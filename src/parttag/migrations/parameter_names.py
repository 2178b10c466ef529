"""What the parameters of networks were called, and what they are called now.

In configurations of schema 0, a Particle Transformer numbered its layers, and left numbers free
where its first networks had had activations.
"""

import re
from collections.abc import Mapping
from typing import Any

_FEEDFORWARD = {"0": "norm", "1": "hidden", "4": "hidden_norm", "5": "out"}
_LAYERS = {1: "norm", 2: "linear"}

# A number after the name of its part, in the name of a parameter or in a pattern of names.
_NUMBERED = re.compile(r"(?<![^.*])(feedforward|embedding)\.(\d{1,4})(?![^.*])")


def renamed_parameter(name: str, model: Any) -> str:
    """Return the present name of a parameter, or a pattern of names that fits what it fitted.

    Parameters
    ----------
    name
        The name or pattern; a pattern with a range or a wildcard in the number of a layer, such as
        ``feedforward.[01].*``, is left as it is.
    model
        The section ``model`` of its configuration.
    """
    if not isinstance(model, Mapping) or model.get("name") != "particle_transformer":
        return name
    return _NUMBERED.sub(_renamed, name)


def _renamed(match: re.Match[str]) -> str:
    part, number = match.groups()
    if part == "feedforward":
        return f"{part}.{_FEEDFORWARD[number]}" if number in _FEEDFORWARD else match.group()
    if int(number) == 0:
        return f"{part}.input_norm"
    layer, place = divmod(int(number) - 1, 3)
    return f"{part}.layers.{layer}.{_LAYERS[place + 1]}" if place + 1 in _LAYERS else match.group()
