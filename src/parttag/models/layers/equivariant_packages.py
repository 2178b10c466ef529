"""The packages of the extra ``equivariant``: imported when a network of theirs is built."""

from importlib import import_module
from types import ModuleType
from warnings import catch_warnings, simplefilter

import torch

from parttag.errors import InputError


def import_for(network: str, module: str) -> ModuleType:
    """Return a module that a network is made of.

    Raises
    ------
    InputError
        If the package is not installed.
    """
    try:
        # Modules of these packages make tensors, which belong on the host wherever a network is
        # built; what lloca imports of torch_geometric uses what torch has deprecated.
        with catch_warnings(), torch.device("cpu"):
            simplefilter("ignore")
            return import_module(module)
    except ModuleNotFoundError as error:
        package, missing = (name.partition(".")[0] for name in (module, error.name or module))
        raise InputError(
            f"model.name: {network} is made of the package {package}, and {missing} is not "
            "installed: pip install 'parttag[equivariant]'"
        ) from error
