"""Tolerances of comparisons, named by what they allow for: ``assert_close(a, b, **FLOAT64)``."""

from typing import TypedDict


class Tolerance(TypedDict):
    """What ``torch.testing.assert_close`` and ``numpy.testing.assert_allclose`` take."""

    rtol: float
    atol: float


# One operation in float64, in another order.
FLOAT64: Tolerance = {"rtol": 1e-11, "atol": 1e-12}
# A whole network in float64: thousands of sums in another order.
FLOAT64_NETWORK: Tolerance = {"rtol": 1e-8, "atol": 1e-9}
# A whole network in float32: sums over other shapes (padding, order of jets) round differently.
FLOAT32_NETWORK: Tolerance = {"rtol": 2e-4, "atol": 2e-5}
# Two float32 restatements of a feature of order one.
FLOAT32_FEATURE: Tolerance = {"rtol": 1e-5, "atol": 1e-5}
# A kernel against the float64 reference: ‖a − b‖ / ‖b‖ of a tensor.
KERNEL_FLOAT32 = 1e-5
KERNEL_BFLOAT16 = 2e-2
# Losses of five steps of training, and outputs after them, on another processor or torch: with
# plain, AVX2 and AVX512 instructions they differ by 1e-6 of a loss and by 5e-6 of an output.
FLOAT32_STEPS: Tolerance = {"rtol": 2e-5, "atol": 2e-5}
