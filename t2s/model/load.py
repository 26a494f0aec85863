"""Loads a base model, quantized or not, the same way for training, evaluation and inference."""

from __future__ import annotations

import logging
import os
import tempfile
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, PreTrainedModel, PreTrainedTokenizerBase

from t2s.errors import ConfigError, ModelUnavailableError
from t2s.model.attention import share_prefixes
from t2s.model.sources import ModelSpec, unpacked
from t2s.model.speed import decode_weights
from t2s.model.tiny import build_tiny


def best_device() -> torch.device:
    """CUDA where there is one, else the CPU."""
    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")


def compute_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the processor multiplies it, else float32: float16 would need a loss scaler."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    return torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported() else torch.float32


def autocast(device: torch.device) -> AbstractContextManager[Any]:
    """Mixed precision, the same for training and for every later use of what was trained."""
    dtype = compute_dtype(device)
    return torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32)


def load_base(spec: ModelSpec, device: torch.device) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The frozen base model on `device`, with its tokenizer.

    Linear layers are held as `spec.quantization` says, everything else in the compute dtype.

    Raises:
        ModelUnavailableError: the weights are not where they were promised.
        ConfigError: the quantization is impossible here.
    """
    dtype = compute_dtype(device)
    if spec.source == "random":
        assert spec.tiny is not None
        model, tokenizer = _load_random(spec, dtype, device)
    else:
        directory = unpacked(spec) if spec.source == "package" else Path(spec.path).expanduser()
        model, tokenizer = _load_directory(str(directory) if directory.is_dir() else spec.path, spec, dtype, device)
    _refuse_windows(model, spec)
    if spec.quantization == "nf4" and (spec.decode_once == "always" or (spec.decode_once == "auto" and device.type == "cpu")):
        decode_weights(model)
    _freeze(model)
    share_prefixes(model)
    return model, tokenizer


def _load_random(spec: ModelSpec, dtype: torch.dtype, device: torch.device) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    assert spec.tiny is not None
    model, tokenizer = build_tiny(spec.tiny)
    # Through a directory, as real weights come, so that quantization takes its usual path.
    with tempfile.TemporaryDirectory(prefix="t2s-tiny-") as directory:
        model.save_pretrained(directory)
        tokenizer.save_pretrained(directory)
        loaded, _ = _load_directory(directory, spec, dtype, device)
    return loaded, tokenizer


def _load_directory(
    path: str, spec: ModelSpec, dtype: torch.dtype, device: torch.device
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    options: dict[str, Any] = {"dtype": dtype, "attn_implementation": spec.attention, "device_map": {"": device}}
    if not os.path.isdir(path):
        options["revision"] = spec.revision
    if spec.quantization != "none":
        options["quantization_config"] = _quantization(spec.quantization, dtype)
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, **({"revision": spec.revision} if "revision" in options else {}))
        model = AutoModelForCausalLM.from_pretrained(path, **options)
    except OSError as error:
        raise ModelUnavailableError(f"model {spec.name} could not be loaded from {path}: {error}") from error
    except ImportError as error:
        raise ConfigError(f"model.attention={spec.attention} or model.quantization={spec.quantization} needs a package: {error}") from error
    _fix_quantized_layers(model)
    return model, tokenizer


def _quantization(kind: str, dtype: torch.dtype) -> BitsAndBytesConfig:
    # bitsandbytes announces on every CPU that a fused kernel is missing; the plain one it takes instead is right.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    if kind == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype)


def _fix_quantized_layers(model: nn.Module) -> None:
    for module in model.modules():
        # bitsandbytes (0.50) repacks 4-bit weights at the first eval forward on AVX512_BF16 processors for an operator
        # without autograd: two thirds of the gradients then vanish. Drop when that operator has a backward.
        if hasattr(module, "support_avx512bf16_for_cpu"):
            setattr(module, "support_avx512bf16_for_cpu", False)  # noqa: B010  # no attribute of nn.Module


def _freeze(model: PreTrainedModel) -> None:
    for parameter in model.parameters():
        parameter.requires_grad_(False)


def _refuse_windows(model: PreTrainedModel, spec: ModelSpec) -> None:
    """The tree mask of shared packs is global; a sliding-window model would need another."""
    window = getattr(model.config, "sliding_window", None)
    if window and getattr(model.config, "use_sliding_window", True):
        raise ConfigError(f"model {spec.name} uses a sliding window of {window} tokens, which t2s does not support; choose another base")
