"""LoRA: which small matrices are trained, and how an adapter is put on a base or read back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from peft.tuners.lora import LoraLayer
from peft.tuners.tuners_utils import BaseTunerLayer
from transformers import PreTrainedModel

from t2s.errors import ConfigError, DataError


@dataclass(frozen=True)
class LoraSpec:
    """Low-rank adaptation (Hu et al. 2021).

    Attributes:
        r: Rank.
        alpha: Scale; the update is multiplied by alpha / r (alpha / sqrt(r) with `rslora`).
        dropout: On the adapter's input.
        target_modules: Names of linear layers, or `all-linear`.
        dora: Weight-decomposed variant (Liu et al. 2024).
        rslora: Rank-stabilised scale (Kalajdzievski 2023).
        init: `default` (B = 0), `gaussian`, `pissa` (Meng et al. 2024) or `olora` (Büyükakyüz 2024).
    """

    r: int
    alpha: float
    dropout: float
    target_modules: str | tuple[str, ...]
    dora: bool
    rslora: bool
    init: str


def add_lora(model: PreTrainedModel, spec: LoraSpec) -> PeftModel:
    """Puts fresh float32 LoRA matrices on a frozen base.

    Raises:
        ConfigError: the rank exceeds the hidden size, or a target module does not exist.
    """
    hidden = model.config.hidden_size
    if spec.r > hidden:
        raise ConfigError(f"lora.r={spec.r} exceeds the hidden size {hidden}; choose lora.r <= {hidden}")
    targets = spec.target_modules if isinstance(spec.target_modules, str) else list(spec.target_modules)
    config = LoraConfig(
        r=spec.r,
        lora_alpha=spec.alpha,  # type: ignore[arg-type]  # PEFT says int and computes with any number
        lora_dropout=spec.dropout,
        target_modules=targets,
        use_dora=spec.dora,
        use_rslora=spec.rslora,
        init_lora_weights=True if spec.init == "default" else spec.init,  # type: ignore[arg-type]
        task_type=TaskType.CAUSAL_LM,
    )
    try:
        peft = get_peft_model(model, config)
    except ValueError as error:
        if "arget module" in str(error):
            known = sorted({name.rsplit(".", 1)[-1] for name, m in model.named_modules() if "Linear" in type(m).__name__})
            raise ConfigError(f"lora.target_modules={targets} names no layer of this model; choose from {', '.join(known)}") from error
        raise ConfigError(f"this LoRA does not fit the model: {error}") from error
    _float32(peft)
    return peft


def load_adapter(model: PreTrainedModel, directory: Path) -> PeftModel:
    """Puts a saved adapter on the base it was trained on.

    Raises:
        DataError: the directory holds no adapter.
    """
    if not (directory / "adapter_config.json").is_file():
        raise DataError(f"{directory} holds no adapter; did the run finish? python -m t2s.train ckpt_path=last resumes it")
    peft = PeftModel.from_pretrained(model, str(directory))
    _float32(peft)
    return peft


def save_adapter(model: PeftModel, directory: Path) -> None:
    """Writes the adapter in plain PEFT format; embeddings are frozen and stay out."""
    model.save_pretrained(str(directory), save_embedding_layers=False)


def trainable(model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """Trained parameters by name."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


@contextmanager
def merged(model: torch.nn.Module, half: bool = False) -> Iterator[None]:
    """Lets each layer multiply once, by its weight with the adapter in it; layers for which that is impossible stay as they are.

    For generation: the weights of the adapter must not change meanwhile. Costs a copy of the adapted weights. Float32 weights
    change nothing but rounding.

    Args:
        model: With one adapter.
        half: Merge into bfloat16 too, as every exported model is: sums are made in float32 and rounded once, to 8 binary digits.
            Only where the copies fit into the memory that is free on CUDA.
    """
    layers: list[Any] = [m for m in model.modules() if isinstance(m, LoraLayer) and _is_plain(m)]
    kept = [layer for layer in layers if _dtype(layer) == torch.float32]
    if half and _room_for([layer for layer in layers if _dtype(layer) == torch.bfloat16]):
        kept += [layer for layer in layers if _dtype(layer) == torch.bfloat16]
    for layer in kept:
        [adapter] = layer.active_adapters
        a, b = layer.lora_A[adapter].weight, layer.lora_B[adapter].weight
        with torch.autocast(a.device.type, enabled=False):  # it would round before the sum
            weight = torch.addmm(_weight(layer).float(), b.float(), a.float(), alpha=layer.scaling[adapter])
        weight = weight.to(_dtype(layer))
        layer.forward = partial(_multiply, weight, layer.base_layer.bias)
    try:
        yield
    finally:
        for layer in kept:
            del layer.forward  # what its class does, again


def _multiply(weight: torch.Tensor, bias: torch.Tensor | None, x: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.linear(x.to(weight.dtype), weight, None if bias is None else bias.to(weight.dtype))


def _is_plain(layer: Any) -> bool:
    """One adapter, of the plain kind, in use beside its base layer."""
    adapted = len(layer.active_adapters) == 1 and not layer.lora_variant and not layer.disable_adapters and not layer.merged
    return adapted and _dtype(layer) is not None


def _dtype(layer: Any) -> torch.dtype | None:
    """What the layer multiplies in: that of its weights, or of decoded ones; None for 8-bit layers, which have weights of another form."""
    base = layer.base_layer
    weight = getattr(base, "decoded", base.weight)
    dtype = weight.quant_state.dtype if getattr(weight, "quant_state", None) is not None else weight.dtype
    if dtype == torch.float32 and torch.is_autocast_enabled(weight.device.type):
        return torch.get_autocast_dtype(weight.device.type)
    return dtype if isinstance(base, torch.nn.Linear) and dtype.is_floating_point else None


def _weight(layer: Any) -> torch.Tensor:
    """The base's weight as a matrix, decoded where it is 4-bit."""
    weight: torch.Tensor = getattr(layer.base_layer, "decoded", layer.base_layer.weight)
    if getattr(weight, "quant_state", None) is None:
        return weight
    import bitsandbytes as bnb

    decoded: torch.Tensor = bnb.functional.dequantize_4bit(weight.data, getattr(weight, "quant_state"))  # noqa: B009  # no attribute of Tensor
    return decoded


# Of the free memory; the rest is for keys, values and scores.
_SHARE_FOR_COPIES = 0.7


def _room_for(layers: Sequence[Any]) -> bool:
    """Whether bfloat16 copies of these layers fit into free CUDA memory; there is always room on a CPU."""
    needed = sum(2 * layer.in_features * layer.out_features for layer in layers)
    device = next((layer.lora_A[layer.active_adapters[0]].weight.device for layer in layers), torch.device("cpu"))
    return device.type != "cuda" or needed < _SHARE_FOR_COPIES * torch.cuda.mem_get_info(device)[0]


def _float32(model: PeftModel) -> None:
    # Adam's small steps are lost in bfloat16 weights.
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data = parameter.data.float()
    for module in model.modules():
        if isinstance(module, BaseTunerLayer):
            # PEFT (0.21) asks only CUDA whether autocast is on, and so turns every input into float32 on the CPU, for
            # autocast to turn it back: a sixth of a training step. Drop when it asks about the input's device.
            setattr(module, "cast_input_dtype_enabled", False)  # noqa: B010  # no attribute of nn.Module
