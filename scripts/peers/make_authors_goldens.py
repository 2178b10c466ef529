"""Make the golden outputs of authors' own code that tests/models/weaver/test_authors.py reads.

    git clone https://github.com/sdogsq/LorentzNet-release     (14bbe78)
    git clone https://github.com/fizisist/LorentzGroupNetwork  (c1669ce)
    python scripts/peers/make_authors_goldens.py --lorentz-net LorentzNet-release \
        --lgn LorentzGroupNetwork --out tests/golden

Small networks of theirs with random weights, rounded to half precision, toy jets, and the logits
that they give in float64. Nothing of their code, which is under the GPL, becomes parttag's.
"""

import argparse
import importlib
import json
import logging
import sys
import types
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from parttag.testing import toy_jets

LENGTHS = [1, 2, 9, 24]
# Of the published weights of LGN, made with a Python before 3.8: of the features of a layer, and of
# those of the input.
ORDER = ((2, 0), (1, 1), (2, 2), (0, 2), (0, 0))
INPUT_ORDER = ((0, 0), (1, 1))
BEAMS = torch.tensor([[2**0.5, 0, 0, 1], [2**0.5, 0, 0, -1]], dtype=torch.float64)


def main() -> None:
    """Write a file for each network whose code is given."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lorentz-net", type=Path, help="clone of sdogsq/LorentzNet-release")
    parser.add_argument("--lgn", type=Path, help="clone of fizisist/LorentzGroupNetwork")
    parser.add_argument("--out", type=Path, required=True, help="directory of the files")
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    p4 = toy_jets(lengths=LENGTHS, seed=3).p4.astype(np.float32)
    ends = np.cumsum(LENGTHS)
    energies_first = torch.from_numpy(p4[:, [3, 0, 1, 2]].astype(np.float64))
    jets = energies_first.split(LENGTHS)
    if options.lorentz_net is not None:
        for name, arrays in _lorentz_nets(options.lorentz_net, jets):
            np.savez_compressed(options.out / name, p4=p4, ends=ends, **arrays)
    if options.lgn is not None:
        arrays = _lgn(options.lgn, jets)
        np.savez_compressed(options.out / "lgn.npz", p4=p4, ends=ends, **arrays)


def _lorentz_nets(
    code: Path, jets: Iterable[Tensor]
) -> Iterable[tuple[str, dict[str, np.ndarray]]]:
    sys.path.insert(0, str(code))
    models = importlib.import_module("models")
    for name, num_scalars, step in (("lorentz_net.npz", 2, 0.005), ("lorentz_net_qg.npz", 8, 1e-3)):
        network = models.LorentzNet(num_scalars, 6, n_layers=3, c_weight=step).eval()
        _randomize(network)
        with torch.no_grad():
            for block in network.LGEBs[:-1]:
                block.phi_x[2].weight.mul_(2000)  # so that the clamp is reached
        _round(network)
        identities, logits = [], []
        for p4 in jets:
            if num_scalars == 2:
                x = torch.cat([BEAMS, p4])
                mass = models.psi(models.normsq4(x).abs().sqrt())
                is_beam = torch.arange(len(x)) < 2
                scalars = torch.stack([mass * ~is_beam, mass * is_beam], dim=1)
            else:
                x = p4
                kind = torch.randint(9, (len(x),))  # one in nine is of none of the eight kinds
                scalars = torch.nn.functional.one_hot(kind, 9)[:, :8].double()
                identities.append(scalars)
            pairs = (~torch.eye(len(x), dtype=torch.bool)).nonzero().t()
            mask = torch.ones(len(x), 1)
            with torch.no_grad():
                logits.append(network(scalars, x, list(pairs), mask, None, len(x)))
        arrays = {"logits": torch.cat(logits).numpy(), **_weights(network, "module.")}
        if identities:
            arrays["identities"] = torch.cat(identities).numpy().astype(np.uint8)
        yield name, arrays


def _lgn(code: Path, jets: Iterable[Tensor]) -> dict[str, np.ndarray]:
    sys.path.insert(0, str(code / "src"))
    logging.disable(logging.CRITICAL)
    colours = types.ModuleType("colorlog")  # wanted by their training alone
    colours.ColoredFormatter = logging.Formatter
    sys.modules.setdefault("colorlog", colours)
    _fix_orders()
    toptag = importlib.import_module("lgn.models.lgn_toptag")
    collate = importlib.import_module("lgn.data.collate")
    one = [1.0]
    network = toptag.LGNTopTag(
        *([3], [1], 2, [1, 2, 1], "learn", [0.0], [0.0], [0.0], "randn", one, 2, "linear"),
        *("linear", 1),
        pmu_in=True,
        mlp_depth=2,
        mlp_width=2,
        dtype=torch.float64,
    )
    _round(network)
    batch = []
    for p4 in jets:
        padded = torch.zeros(126, 4)
        padded[: len(p4)] = p4
        batch.append({"Pmu": padded, "Nobj": torch.tensor(len(p4))})
    data = collate.collate_fn(batch, scale=0.005, add_beams=True, beam_mass=1)
    return {"logits": network(data).detach().numpy(), **_weights(network, "")}


class _Keys(list[tuple[int, int]]):
    """Keys in an order, which are compared as a set."""

    __hash__ = None

    def __eq__(self, other: object) -> bool:
        return set(self) == set(other)  # type: ignore[call-overload]

    def __ne__(self, other: object) -> bool:
        return not self == other


def _ordered(keys: Iterable[tuple[int, int]]) -> _Keys:
    found = set(keys)
    return _Keys(key for key in (INPUT_ORDER if len(found) == 2 else ORDER) if key in found)


def _fix_orders() -> None:
    """Give their sets of representations the order that they had in the published trainings."""
    tensors = importlib.import_module("lgn.g_lib.g_torch")
    parameters = importlib.import_module("lgn.g_lib.parameter_dict_new").ParameterDictNew
    parameters.keys = lambda self: _ordered(map(eval, self._parameters))

    class OrderedUnion:
        def union(self, *keys: Iterable[tuple[int, int]]) -> _Keys:
            return _ordered(key for some in keys for key in some)

    tensors.set = OrderedUnion


@torch.no_grad()
def _randomize(network: torch.nn.Module) -> None:
    for name, value in network.state_dict().items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 2)
        elif name.endswith("running_mean"):
            value.normal_()


@torch.no_grad()
def _round(network: torch.nn.Module) -> None:
    for value in network.state_dict().values():
        if value.is_floating_point():
            value.copy_(value.half())


def _weights(network: torch.nn.Module, prefix: str) -> dict[str, np.ndarray]:
    """Return all weights in one row, and names and shapes as JSON: a small file."""
    state = {k: v for k, v in network.state_dict().items() if v.is_floating_point()}
    shapes = {f"{prefix}{key}": list(value.shape) for key, value in state.items()}
    flat = torch.cat([value.flatten() for value in state.values()]).half().numpy()
    return {"weights": flat, "shapes": np.array(json.dumps(shapes))}


if __name__ == "__main__":
    main()
