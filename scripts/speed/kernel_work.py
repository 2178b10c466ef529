"""How often the straight parts and the loops of each kernel run, for jets of given lengths."""

import numpy as np
from jaxtyping import Int64

from parttag.ops.layout import MATRIX_COLUMNS


def executions(
    kernel: str, constants: dict[str, int], lengths: Int64[np.ndarray, " jets"]
) -> list[float]:
    """Return for one jet on average: programs, passes of their loop, of the loop within it.

    Programs that find nothing to do, a few instructions each, are left out.
    """
    n = lengths.astype(float)
    block = constants["block"]
    heads = constants.get("heads", 1)
    blocks = np.ceil(n / block)
    pairs = n * (n + 1) / 2
    match kernel:
        case "attention._forward":
            counts = [heads * blocks, heads * blocks**2]
        case "attention._backward":
            counts = [heads * (n > 0), heads * blocks, heads * blocks**2]
        case "class_attention._forward" | "class_attention._backward":
            counts = [heads * (n > 0), heads * blocks]
        case "bias_matrices._spread":
            programs = np.ceil(n * np.ceil(n / MATRIX_COLUMNS) * MATRIX_COLUMNS / block)
            counts = [programs, heads * programs]
        case "bias_matrices._fold":
            counts = [np.ceil(pairs / block), heads * np.ceil(pairs / block)]
        case "pair_features._pair_features":
            counts = [np.ceil(pairs / block)]
        case "pair_network._run_layer" | "pair_inference._infer":
            counts = [pairs / block]
        case "pair_network._layer_back":
            counts = [pairs / (block * constants["tiles"]), pairs / block]
        case _:
            raise ValueError(f"unknown kernel {kernel}")
    return [float(count.mean()) for count in counts]


def warp_instructions(warps: int, by_depth: list[int], counts: list[float]) -> float:
    """Return the instructions that all warps run for one jet; branches count as taken both ways.

    A loop of which nothing is known, of a rare case in a function, counts once.
    """
    known = counts + counts[-1:] * (len(by_depth) - len(counts))
    return warps * sum(number * count for number, count in zip(by_depth, known, strict=False))
