"""``--optimizer-option lr_mult`` to ``optimizer.lr_multipliers``: weaver's names to ours."""

from __future__ import annotations

import argparse
import re

from parttag.errors import InputError
from parttag.models.weaver import their_names
from parttag.runs.config import build_config, merge
from parttag.runs.run import build_network
from parttag.runs.weaver.flags import LR_MULT, optimizer_options, value_of
from parttag.runs.weaver.remarks import Remarks

_FLAG = "--optimizer-option lr_mult"


def with_lr_multipliers(
    content: dict[str, object], flags: argparse.Namespace, remarks: Remarks
) -> dict[str, object]:
    """Return a configuration with the multipliers of rates by our names, and add to the remarks.

    Parameters
    ----------
    content
        The configuration without them.
    flags
        Those of weaver: ``lr_mult`` is a regular expression of the beginnings of weaver's names,
        and a factor.

    Raises
    ------
    InputError
        If it is no such pair.
    """
    given = optimizer_options(flags).get(LR_MULT)
    if given is None:
        return content
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise InputError(f"{_FLAG}: give a pattern and a factor, as in '(\"fc.*\", 50)'")
    pattern, factor = given
    if isinstance(factor, bool) or not isinstance(factor, int | float) or not factor > 0:
        raise InputError(f"{_FLAG}: {factor!r:.40} is no factor above 0")
    try:
        begins = re.compile(str(pattern)).match
    except (re.error, RecursionError) as error:
        raise InputError(f"{_FLAG}: {pattern!r:.100} is no regular expression: {error}") from None
    config = build_config(content)
    network, _ = build_network(config)
    ours = [name for name, _ in network.named_parameters()]
    theirs = their_names(config.model.name, config.model, ours)
    fitting = [name for name in ours if any(map(begins, theirs.get(name, ())))]
    if not fitting:
        remarks.missing(
            _FLAG,
            f"no parameter of {config.model.name} is known to be called {pattern!r:.100} by "
            "weaver; give optimizer.lr_multipliers by parttag's names",
        )
        return content
    if value_of(flags, "lr_scheduler") == "flat+decay":
        remarks.missing(
            f"{_FLAG} with flat+decay",
            "weaver then lowers the rate of these parameters alone, and leaves that of the others; "
            "here all fall together",
        )
    head = [name for name in ours if name.startswith("head.")]
    multipliers = {"head.*": factor} if fitting == head else dict.fromkeys(fitting, factor)
    return merge(content, {"optimizer": {"lr_multipliers": multipliers}})
