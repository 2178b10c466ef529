"""The Lorentz Group Network of its authors' code.

That code forms for each representation a list of copies and gives each its own weights: the sums
over neighbors, feature by feature with the edge 1 and then with the edge pᵢ − pⱼ; the feature
itself; all products of two features. The features come in the order of a Python *set* of tuples,
which is that of their hashes and so of the version of Python: 3.8 changed it. The published weights
were trained with an older one, in the order of ``_ORDER``; the first layer's features come from the
input, scalars before vectors. In another order the weights load as well and mean nothing.

The output layer has its invariants by representation, scalars first, and within each by layer.
"""

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import ClassVar

from torch import Tensor

from parttag.errors import InputError
from parttag.models.layers.clebsch_gordan import SCALAR, VECTOR, Irrep, product_irreps
from parttag.models.layers.lorentz_tensors import MAX_SPIN
from parttag.models.lgn import LGN, LGNOptions
from parttag.models.weaver.conversion import Conversion, Sizes

_ORDER: tuple[Irrep, ...] = ((2, 0), (1, 1), (2, 2), (0, 2), (0, 0))
_INPUT_ORDER: tuple[Irrep, ...] = (SCALAR, VECTOR)
# A level of the code, ours and theirs.
_LEVEL = "lgn_cg.atom_levels.{}.cat_mix.mix_reps.weights"
_INPUT = "input_func_atom.weights"
_OUTPUT = "output_layer_atom.lin"


class LGNConversion(Conversion[LGNOptions]):
    """From the authors' keys, shapes and orders to ours.

    Parameters
    ----------
    order
        Of the representations within layers.
    """

    network: ClassVar[type[LGN]] = LGN
    title: ClassVar[str] = "Lorentz Group Network"
    signature: ClassVar[str] = f"{_OUTPUT}.weight"

    def __init__(self, order: Sequence[Irrep] = _ORDER) -> None:
        self.order = tuple(order)

    def sizes(self, state: Mapping[str, Tensor], path: Path) -> Sizes[LGNOptions]:
        """Return options and number of classes; the options are those of the published runs."""

        def shape(key: str) -> tuple[int, ...]:
            if key not in state or state[key].numel() == 0:
                raise InputError(
                    f"{path}: there is no {key} in it; parttag reads the Lorentz Group Network "
                    "whose input has momenta (pmu_in), with a linear output layer"
                )
            return tuple(state[key].shape)

        prefix = _LEVEL.split("{}")[0]
        levels = {key.removeprefix(prefix).split(".")[0] for key in state if key.startswith(prefix)}
        channels = [shape(f"{_INPUT}.{SCALAR}")[1]]
        channels += [shape(f"{_LEVEL.format(n)}.{SCALAR}")[1] for n in range(len(levels))]
        hidden = "lgn_cg.mlp_levels.0.linear"
        options = self.options(
            path,
            channels=tuple(channels),
            momentum_input=True,
            num_curves=shape("rad_funcs.rad_funcs.0.a")[-1],
            num_hidden=sum(k.startswith(hidden) and k.endswith(".bias") for k in state) - 1,
            hidden_factor=max(shape(f"{hidden}.0.weight")[0] // shape(f"{hidden}.0.weight")[1], 1),
            max_particles=126,
            reference_padding=True,
            reference_length=126,
        )
        return Sizes(
            options,
            None,
            shape(f"{_OUTPUT}.weight")[0],
            variant="of momenta, with representations in the order of Python before 3.8",
        )

    def keys(self, options: LGNOptions, state: Mapping[str, Tensor]) -> dict[str, str]:
        """Return the authors' name of every module or parameter of ours that holds weights."""
        del state
        names = {
            "head": _OUTPUT,
            "backbone.input.scalar_mixing.weight": f"{_INPUT}.{SCALAR}",
            "backbone.input.vector_mixing.weight": f"{_INPUT}.{VECTOR}",
        }
        for level in range(len(options.channels) - 1):
            curves, theirs = f"backbone.weights.{level}", f"rad_funcs.rad_funcs.{level}"
            for ours, leaf in (("shift", "a"), ("height", "b"), ("width", "c")):
                names[f"{curves}.{ours}"] = f"{theirs}.{leaf}"
            for edge in range(2):
                names[f"{curves}.linears.{edge}"] = f"{theirs}.linear.{edge}"
            layer = f"backbone.layers.{level}"
            for number, irrep in enumerate(sorted(_ORDER)):
                names[f"{layer}.mixing.{number}.weight"] = f"{_LEVEL.format(level)}.{irrep}"
            for number in range(options.num_hidden + 1):
                names[f"{layer}.perceptron.{2 * number}"] = (
                    f"lgn_cg.mlp_levels.{level}.linear.{number}"
                )
        return names

    def their_shape(self, name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape in the authors' file: copies and channels are one axis there."""
        if name.endswith("mixing.weight") or ".mixing." in name:
            return (*shape[:2], shape[2] * shape[3])
        is_curve = name.rpartition(".")[2] in ("shift", "height", "width")
        return (1, 1, 1, *shape) if is_curve else shape

    def finish(
        self, weights: dict[str, Tensor], state: Mapping[str, Tensor]
    ) -> tuple[dict[str, Tensor], str]:
        """Return the weights in our order, and which code wrote them."""
        del state
        converted = dict(weights)
        channels = [weights["backbone.input.scalar_mixing.weight"].shape[1]]
        while (first := f"backbone.layers.{len(channels) - 1}.mixing.0.weight") in weights:
            order = self.order if len(channels) > 1 else _INPUT_ORDER
            for number, irrep in enumerate(sorted(_ORDER)):
                name = f"backbone.layers.{len(channels) - 1}.mixing.{number}.weight"
                theirs = _copies(irrep, order)
                ours = _our_copies(irrep, sorted(order))
                converted[name] = weights[name][:, :, [theirs.index(copy) for copy in ours]]
            channels.append(weights[first].shape[1])
        columns = _output_columns(channels, self.order)
        # Their class 1 is top.
        converted["head.weight"] = weights["head.weight"].flip(0)[:, columns]
        converted["head.bias"] = weights["head.bias"].flip(0)
        return converted, "the authors' code (fizisist/LorentzGroupNetwork)"


Copy = tuple[str, Irrep | None, Irrep | None]


def _copies(out: Irrep, order: Sequence[Irrep]) -> list[Copy]:
    """Return the copies of a representation in the order of the authors' weights."""
    edges = product(order, (SCALAR, VECTOR))
    copies: list[Copy] = [("edge", a, b) for a, b in edges if _is_in(out, a, b)]
    copies += [("self", None, None)] if out in order else []
    return copies + [("square", a, b) for a, b in product(order, order) if _is_in(out, a, b)]


def _our_copies(out: Irrep, order: Sequence[Irrep]) -> list[Copy]:
    """Return them in the order of our weights: all edges 1 before all edges pᵢ − pⱼ."""
    edges = product((SCALAR, VECTOR), order)
    copies: list[Copy] = [("edge", a, b) for b, a in edges if _is_in(out, a, b)]
    copies += [("self", None, None)] if out in order else []
    return copies + [("square", a, b) for a, b in product(order, order) if _is_in(out, a, b)]


def _is_in(out: Irrep, first: Irrep, second: Irrep) -> bool:
    return out in product_irreps(first, second) and max(out) <= MAX_SPIN


def _output_columns(channels: Sequence[int], order: Sequence[Irrep]) -> list[int]:
    """Return the authors' column of each of ours: (layer, representation, channel, part)."""
    columns: dict[tuple[int, Irrep], list[int]] = {}
    start = 0
    for irrep in (SCALAR, *(other for other in order if other != SCALAR)):
        for level, width in enumerate(channels):
            if level or irrep in _INPUT_ORDER:
                columns[level, irrep] = list(range(start, start + 2 * width))
                start += 2 * width
    return [column for key in sorted(columns) for column in columns[key]]
