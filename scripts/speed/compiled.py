"""What Triton's kernels become on a GPU that is not there.

Launches of the code on the host are caught, each is compiled ahead of time, and the machine code is
read.
"""

import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.runtime.jit import JITFunction

_TYPES = {
    torch.float32: "*fp32",
    torch.bfloat16: "*bf16",
    torch.float16: "*fp16",
    torch.int64: "*i64",
    torch.int32: "*i32",
}
_WARP = 32
# Of a multiprocessor: registers, bytes of shared memory by target, warps, programs.
_REGISTERS, _WARPS, _PROGRAMS = 65536, 64, 32
_SHARED = {80: 164, 86: 100, 89: 100, 90: 228, 100: 228, 120: 100}
_SHARED_OF_SYSTEM = 1024  # taken from every program's share


@dataclass
class Launch:
    """A kernel as the host called it, and how often."""

    function: JITFunction
    signature: dict[str, str]
    constants: dict[str, Any]
    divisible: tuple[int, ...]
    options: dict[str, Any]
    num_bytes: int
    times: int = 0

    @property
    def name(self) -> str:
        """The kernel's module and name."""
        return f"{self.function.__module__.rsplit('.', 1)[-1]}.{self.function.__name__}"

    @property
    def key(self) -> tuple[object, ...]:
        """What is the same for the same machine code."""
        named = (self.signature, self.constants, self.options)
        return self.name, self.divisible, *(tuple(sorted(n.items())) for n in named)


@contextmanager
def caught_launches() -> Iterator[dict[tuple[object, ...], Launch]]:
    """Collect launches instead of running them: outputs are whatever was in memory."""
    launches: dict[tuple[object, ...], Launch] = {}

    def run(self: JITFunction, *args: Any, grid: Any, warmup: bool, **named: Any) -> None:
        del grid, warmup
        launch = _launch(self, args, named)
        launches.setdefault(launch.key, launch).times += 1

    with mock.patch.object(JITFunction, "run", run):
        yield launches


def _launch(function: JITFunction, args: tuple[Any, ...], named: Mapping[str, Any]) -> Launch:
    """Return a launch, its arguments specialized as Triton does it."""
    names = [parameter.name for parameter in function.params]
    values = {**dict(zip(names, args, strict=False)), **named}
    launch = Launch(function, {}, {}, (), {k: v for k, v in named.items() if k not in names}, 0)
    divisible = []
    for number, parameter in enumerate(function.params):
        name, value = parameter.name, values[parameter.name]
        special = not parameter.do_not_specialize
        if parameter.is_constexpr or (special and type(value) is int and value == 1):
            launch.signature[name], launch.constants[name] = "constexpr", value
        elif isinstance(value, torch.Tensor):
            launch.signature[name] = _TYPES[value.dtype]
            launch.num_bytes += value.nbytes
            if value.data_ptr() % 16 == 0:
                divisible.append(number)
        elif isinstance(value, int):
            launch.signature[name] = "i32" if -(2**31) <= value < 2**31 else "i64"
            if special and value % 16 == 0:
                divisible.append(number)
        else:
            launch.signature[name] = "fp32"
    launch.divisible = tuple(divisible)
    if values.get("add_to_bias"):  # read and written
        launch.num_bytes += values["grad_bias"].nbytes
    return launch


@dataclass
class Compiled:
    """What one kernel's machine code takes."""

    kernel: str
    dtype: str
    variant: str
    warps: int
    registers: int
    spilled_bytes: int
    shared_bytes: int
    programs: int  # that a multiprocessor can hold at once
    instructions: int
    tensor_instructions: int
    by_depth: list[int]  # instructions in no loop, in one, in one within another …

    def as_dict(self) -> dict[str, object]:
        """Return all of it by name."""
        return asdict(self)


def compile_launch(launch: Launch, target: int) -> Compiled:
    """Compile a launch for compute capability ``target``/10 and read the result.

    Raises
    ------
    FileNotFoundError
        If this Triton brings no ``cuobjdump`` and ``nvdisasm``.
    """
    attributes = {(number,): [["tt.divisibility", 16]] for number in launch.divisible}
    source = ASTSource(launch.function, launch.signature, launch.constants, attributes)
    kernel = triton.compile(source, target=GPUTarget("cuda", target, 32), options=launch.options)
    with TemporaryDirectory() as directory:
        cubin = Path(directory) / "kernel.cubin"
        cubin.write_bytes(kernel.asm["cubin"])
        usage = _tool("cuobjdump", "--dump-resource-usage", cubin)
        by_depth, tensor = _read_code(_tool("nvdisasm", "-c", "-ndf", cubin))
    registers, stack = (int(re.findall(rf"{n}:(\d+)", usage)[-1]) for n in ("REG", "STACK"))
    warps, shared = kernel.metadata.num_warps, kernel.metadata.shared
    types = launch.signature.values()
    short = next((t[1:] for t in ("*bf16", "*fp16") if t in types), "fp32")
    flags = [n for n, v in launch.constants.items() if v is True]
    widths = [f"{n} {v}" for n, v in launch.constants.items() if n in ("width_in", "width_out")]
    return Compiled(
        kernel=launch.name,
        dtype=short,
        variant=", ".join(widths + flags),
        warps=warps,
        registers=registers,
        spilled_bytes=stack,
        shared_bytes=shared,
        programs=_programs(registers, shared, warps, target),
        instructions=sum(by_depth),
        tensor_instructions=tensor,
        by_depth=by_depth,
    )


def _tool(name: str, *arguments: str | Path) -> str:
    """Return what a tool of NVIDIA's says, one of those that Triton brings."""
    program = Path(triton.__file__).parent / "backends/nvidia/bin" / name
    result = subprocess.run([program, *arguments], capture_output=True, text=True, check=True)
    return result.stdout + result.stderr


def _programs(registers: int, shared: int, warps: int, target: int) -> int:
    by_registers = _REGISTERS // (-(-registers // 8) * 8 * _WARP * warps)
    by_shared = _SHARED.get(target, 100) * 1024 // (shared + _SHARED_OF_SYSTEM)
    return min(by_registers, by_shared, _WARPS // warps, _PROGRAMS)


def _read_code(assembly: str) -> tuple[list[int], int]:
    """Return the instructions by how many loops they are in, and how many are of tensor cores.

    A loop is what lies between a branch and the place before it that it goes to.
    """
    labels: dict[str, int] = {}
    code: list[str] = []
    for line in assembly.splitlines():
        if label := re.match(r"(\.L_x_\d+):", line):
            labels[label[1]] = len(code)
        elif instruction := re.match(r"\s+/\*[0-9a-f]{4,}\*/\s+(.*?) ;", line):
            code.append(instruction[1])
    depth = [0] * len(code)
    for place, instruction in enumerate(code):
        target = re.search(r"BRA.*`\((\.L_x_\d+)\)", instruction)
        if target and labels[target[1]] < place:
            for inside in range(labels[target[1]], place + 1):
                depth[inside] += 1
    tensor = sum(bool(re.search(r"\b(HMMA|HGMMA|UTC\w*MMA)\b", line)) for line in code)
    return [depth.count(level) for level in range(max(depth) + 1)], tensor
