"""Trained networks that come with parttag."""

from __future__ import annotations

from parttag.models.shipped import Pretrained, list_pretrained

__all__ = ["pretrained"]


def pretrained() -> tuple[Pretrained, ...]:
    """Return the trained networks that come with parttag, each with its name and its model card.

    A name such as ``pretrained/NAME`` goes wherever a run does: ``parttag.load``,
    ``init_from.path`` of a configuration, ``parttag evaluate --probe``. The environment variable
    ``PARTTAG_PRETRAINED`` names folders with more of them.

    Raises
    ------
    InputError
        If a model card is damaged, or a folder that is named there is none.

    Examples
    --------
    >>> for network in pt.pretrained():
    ...     print(network.name, network.card.summary)  # doctest: +SKIP
    """
    return list_pretrained()
