"""What makes a training step fast without changing what it computes."""

from __future__ import annotations

import os
import shutil
import sysconfig
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel

from t2s.errors import ConfigError


def decode_weights(model: nn.Module) -> None:
    """Gives each 4-bit layer its weights once decoded, two bytes each, so that no forward or backward decodes them again.

    The 4-bit weights stay, and so does each product: the copy is what bitsandbytes would decode every time.
    """
    import bitsandbytes as bnb

    class DecodedLinear4bit(bnb.nn.Linear4bit):  # type: ignore[misc, name-defined]
        decoded: Tensor

        def forward(self, x: Tensor) -> Tensor:
            bias = None if self.bias is None else self.bias.to(x.dtype)
            return F.linear(x, self.decoded.to(x.dtype), bias)

    for module in model.modules():
        if isinstance(module, bnb.nn.Linear4bit):  # type: ignore[attr-defined]
            decoded = bnb.functional.dequantize_4bit(module.weight.data, getattr(module.weight, "quant_state"))  # noqa: B009  # no attribute of Tensor
            module.register_buffer("decoded", decoded, persistent=False)
            # PEFT tells a layer's kind by its class, which therefore stays one of bitsandbytes'.
            module.__class__ = DecodedLinear4bit


def compile_layers(model: PreTrainedModel, wanted: str, device: torch.device) -> bool:
    """Lets torch.compile fuse what stands between the matrix products of each decoder layer.

    All layers share the compiled code, whatever the lengths: it is made once, in about a minute, and kept in torch's cache.

    Args:
        model: The base, adapter in place.
        wanted: `always`, `never`, or `auto`: on the CPU, where there is a C++ compiler.
        device: Where the model is.

    Returns:
        Whether layers will be compiled.

    Raises:
        ConfigError: compilation is wanted and impossible.
    """
    missing = _missing_for_compilation() if device.type == "cpu" else None
    if wanted == "always" and missing:
        raise ConfigError(f"trainer.compile=always needs {missing}; install it or set trainer.compile=auto")
    if wanted == "never" or (wanted == "auto" and (missing or device.type != "cpu")):
        return False
    layers: Any = model.get_decoder().layers
    for layer in layers:
        layer.compile(dynamic=True)
    return True


def uncompiled() -> AbstractContextManager[Any]:
    """Runs layers as written: generation changes shape at every token, which compiled code would be made anew for."""
    stance: AbstractContextManager[Any] = torch.compiler.set_stance("force_eager")
    return stance


def _missing_for_compilation() -> str | None:
    if not any(shutil.which(name) for name in (os.environ.get("CXX", ""), "g++", "clang++", "c++") if name):
        return "a C++ compiler"
    if not Path(sysconfig.get_paths()["include"], "Python.h").is_file():
        return "Python's header files"
    return None
