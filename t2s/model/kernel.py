"""Tree attention's own kernel, compiled on the machine it runs on and kept.

It is plain C++ behind a C interface, so that a compiler needs four seconds for it and nothing of Python's. Matrix products
come from torch's library where an x86 processor has matrix units, else they are vector code of its own.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from t2s.errors import ConfigError

SOURCE = Path(__file__).with_name("tree_attention.cpp")
WIDEST_HEAD = 256


@dataclass(frozen=True)
class TreeKernel:
    """The compiled library. Tensors are float32 or bfloat16 [1, heads, T, D], log-sum-exps float32 [1, heads, T]."""

    library: ctypes.CDLL

    def can(self, query: Tensor) -> bool:
        """Whether it computes attention for such queries: in bfloat16 only where the processor multiplies such numbers."""
        known = query.dtype == torch.float32 or (query.dtype == torch.bfloat16 and bool(self.library.t2s_tree_has_half()))
        return known and query.shape[-1] % 16 == 0 and query.shape[-1] <= WIDEST_HEAD

    def forward(self, query: Tensor, key: Tensor, value: Tensor, layout: Tensor, scale: float, out: Tensor, lse: Tensor) -> None:
        """Fills `out` and `lse`; `out` has each token's heads side by side."""
        inputs = [_rows(x) for x in (query, key, value)]
        self._call("t2s_tree_forward", inputs, [], layout, query, key, scale, [out, lse])

    def backward(
        self,
        grad: Tensor,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        out: Tensor,
        lse: Tensor,
        layout: Tensor,
        scale: float,
        dquery: Tensor,
        dkey: Tensor,
        dvalue: Tensor,
    ) -> None:
        """Fills the gradients, which have each token's heads side by side."""
        inputs = [_rows(x) for x in (grad, query, key, value, out)]
        self._call("t2s_tree_backward", inputs, [lse.contiguous()], layout, query, key, scale, [dquery, dkey, dvalue])

    def _call(
        self,
        name: str,
        strided: Sequence[Tensor],
        plain: Sequence[Tensor],
        layout: Tensor,
        query: Tensor,
        key: Tensor,
        scale: float,
        results: Sequence[Tensor],
    ) -> None:
        kind = "half" if query.dtype == torch.bfloat16 else "single"
        strides = [(ctypes.c_int64 * 2)(x.stride(1), x.stride(2)) for x in strided]
        H, T, D = query.shape[1:]
        failed = getattr(self.library, f"{name}_{kind}")(
            *(argument for x, s in zip(strided, strides, strict=True) for argument in (_pointer(x), s)),
            *map(_pointer, plain),
            _pointer(layout),
            *map(ctypes.c_int64, (len(layout), H, key.shape[1], T, D)),
            ctypes.c_float(scale),
            ctypes.c_int(torch.get_num_threads()),
            *map(_pointer, results),
        )
        if failed:
            raise MemoryError(f"{name} failed on {T} tokens")


def load_kernel(cache_dir: Path) -> TreeKernel:
    """The kernel for this machine, compiled now if it was not before.

    Args:
        cache_dir: Keeps the compiled library. Safe under several starts at once.

    Raises:
        ConfigError: there is no compiler or it fails, with what it said.
    """
    compiler = cxx()
    if compiler is None:
        raise ConfigError("there is no C++ compiler")
    # What the compiler knows of the machine: its own version and the processor's instructions.
    machine = _run([compiler, "-march=native", "-dM", "-E", "-x", "c++", os.devnull])
    key = hashlib.sha256("\0".join((torch.__version__, machine, SOURCE.read_text(encoding="utf-8"))).encode()).hexdigest()[:16]
    file = cache_dir / f"tree_attention-{key}.so"
    if not file.exists():
        _compile(compiler, file)
    return TreeKernel(ctypes.CDLL(str(file)))


def cxx() -> str | None:
    """The C++ compiler: $CXX, or the first known name on the path."""
    return next((name for name in (os.environ.get("CXX", ""), "g++", "clang++", "c++") if name and shutil.which(name)), None)


def _compile(compiler: str, file: Path) -> None:
    torch_dir = Path(torch.__file__).parent
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=file.parent) as scratch:
        made = Path(scratch) / file.name
        flags = ["-std=c++20", "-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-fopenmp", "-shared", "-fPIC"]
        places = [f"-I{torch_dir / 'include'}", f"-L{torch_dir / 'lib'}"]
        _run([compiler, *flags, *places, str(SOURCE), "-o", str(made), "-ltorch_cpu", "-lc10"])
        os.replace(made, file)


def _run(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        said = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr.strip()[-200:])
        raise ConfigError(f"{command[0]} cannot compile {SOURCE.name}: {said}")
    return done.stdout


def _rows(x: Tensor) -> Tensor:
    """`x` with each head's vector side by side, as the kernel reads it."""
    return x if x.stride(-1) == 1 else x.contiguous()


def _pointer(x: Tensor) -> ctypes.c_void_p:
    return ctypes.c_void_p(x.data_ptr())
