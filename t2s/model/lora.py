"""LoRA: which small matrices are trained, and how an adapter is put on a base or read back."""

from __future__ import annotations

from collections.abc import Iterator
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
def merged(model: torch.nn.Module) -> Iterator[None]:
    """Lets each layer multiply once, by its weight with the adapter in it, where both are float32; elsewhere all stays as it is.

    For generation: the weights of the adapter must not change meanwhile. Costs a copy of the adapted weights. In bfloat16 the sum
    would round the adapter away.
    """
    layers: list[Any] = [m for m in model.modules() if isinstance(m, LoraLayer) and _mergeable(m)]
    for layer in layers:
        [adapter] = layer.active_adapters
        a, b = layer.lora_A[adapter].weight, layer.lora_B[adapter].weight
        weight = torch.addmm(_float_weight(layer), b, a, alpha=layer.scaling[adapter])
        layer.forward = partial(_multiply, weight, layer.base_layer.bias)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward  # what its class does, again


def _multiply(weight: torch.Tensor, bias: torch.Tensor | None, x: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.linear(x, weight, bias)


def _mergeable(layer: Any) -> bool:
    weight = _float_weight(layer)
    plain = len(layer.active_adapters) == 1 and not layer.lora_variant and not layer.disable_adapters and not layer.merged
    return plain and weight is not None and not torch.is_autocast_enabled(weight.device.type)


def _float_weight(layer: Any) -> Any:
    """The base's weight as float32 matrix; None where it is held in another form."""
    weight = getattr(layer.base_layer, "decoded", layer.base_layer.weight)
    return weight if weight.dtype == torch.float32 and isinstance(layer.base_layer, torch.nn.Linear) else None


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
