"""What makes a training step fast without changing what it computes."""

from __future__ import annotations

import sysconfig
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel

from t2s.errors import ConfigError
from t2s.model.kernel import cxx, load_kernel
from t2s.model.tree import use_kernel


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


def speed_up(model: PreTrainedModel, wanted: str, device: torch.device, cache_dir: Path) -> str:
    """Compiles what pays: on the CPU tree attention's kernel, and with torch.compile what stands between matrix products.

    All layers share the compiled code, whatever the lengths: it is made once, in half a minute, and kept in torch's cache.

    Args:
        model: The base, adapter in place.
        wanted: `always`, `never`, or `auto`: on the CPU, where there is a C++ compiler.
        device: Where the model is.
        cache_dir: Keeps the kernel.

    Returns:
        What was done, in a few words.

    Raises:
        ConfigError: compilation is wanted and impossible.
    """
    use_kernel(None)
    if wanted == "never" or (wanted == "auto" and device.type != "cpu"):
        return "not compiled"
    missing = _missing_for_compilation() if device.type == "cpu" else None
    if missing and wanted == "always":
        raise ConfigError(f"trainer.compile=always needs {missing}; install it or set trainer.compile=auto")
    if missing:
        return f"not compiled for want of {missing}, which makes a step two to three times slower"
    # Without a gradient of its input the first layer would be another program, compiled for as long as all the others.
    model.get_input_embeddings().register_forward_hook(_ask_for_gradients)
    layers: Any = model.get_decoder().layers
    for layer in layers:
        layer.compile(dynamic=True)
    if device.type != "cpu":
        return "layers compiled"
    try:
        use_kernel(load_kernel(cache_dir))
    except ConfigError as error:
        if wanted == "always":
            raise
        return f"layers compiled, attention not: {error}"
    return "layers and attention compiled"


def uncompiled() -> AbstractContextManager[Any]:
    """Runs layers as written: generation changes shape at every token, which compiled code would be made anew for."""
    stance: AbstractContextManager[Any] = torch.compiler.set_stance("force_eager")
    return stance


def _ask_for_gradients(module: nn.Module, inputs: Any, output: Tensor) -> None:
    if torch.is_grad_enabled():
        output.requires_grad_(True)


def _missing_for_compilation() -> str | None:
    if cxx() is None:
        return "a C++ compiler"
    if not Path(sysconfig.get_paths()["include"], "Python.h").is_file():
        return "Python's header files"
    return None
