"""Configurations of other packages to those of parttag."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from parttag.options import local_name
from parttag.runs.weaver.check import Comparison, check
from parttag.runs.weaver.convert import Conversion, convert
from parttag.runs.weaver.written import written
from parttag.system.atomic_files import new_files

__all__ = ["Comparison", "Conversion", "check_weaver", "convert_weaver"]


def check_weaver(
    conversion: Conversion,
    data: str | Path,
    files: Sequence[str | Path],
    peer_python: str | Path,
) -> list[Comparison]:
    """Return how far what a network reads of some jets is from weaver-core's tensors.

    Parameters
    ----------
    conversion
        What ``convert_weaver`` made of ``data``.
    files
        Some files of jets; the first 500 that pass the selection are compared.
    peer_python
        An interpreter that has weaver-core. It runs the formulas of ``data`` as code.

    Raises
    ------
    InputError
        If weaver-core or parttag cannot read the files, or they find other jets.
    """
    return check(conversion, Path(local_name(data)), files, peer_python)


def convert_weaver(
    data: str | Path,
    *,
    network: str | None = None,
    network_options: Sequence[str] = (),
    flags: Sequence[str] = (),
    out: str | Path | None = None,
    strict: bool = False,
    overwrite: bool = False,
) -> Conversion:
    """Return the configuration that files of weaver-core are the same as.

    Nothing of them runs as code.

    Parameters
    ----------
    data
        The data configuration, YAML; ``*.auto.yaml`` with what weaver has measured.
    network
        One of parttag's networks, or the file of one of weaver's.
    network_options
        As weaver takes them: ``["num_layers", "6"]``.
    flags
        The command line of ``weaver``: ``["--num-epochs", "50", "--use-amp"]``.
    out
        The configuration to write, with what there is to know of it in its first lines.
    strict
        Refuse what parttag cannot say; else it is among ``remarks``.
    overwrite
        Replace the file.

    Raises
    ------
    InputError
        If the file is none of weaver-core, a formula uses what is not allowed, or something has no
        counterpart and ``strict`` is set; then nothing is written.

    Examples
    --------
    >>> conversion = pt.convert_weaver("data.yaml", flags=["--num-epochs", "3"])
    >>> conversion.config.features, conversion.config.training.epochs
    ('kin', 3)
    """
    conversion = convert(
        local_name(data), network=network, options=network_options, flags=flags, strict=strict
    )
    if out is not None:
        with new_files([Path(local_name(out))], overwrite=overwrite) as (file,):
            file.write(written(conversion, Path(data).name).encode())
    return conversion
