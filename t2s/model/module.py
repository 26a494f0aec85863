"""The LightningModule: a frozen base with LoRA, its loss, its optimizer."""

# B rows  T tokens  S supervised tokens  V vocabulary

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import lightning
import psutil
import torch
import torch.nn.functional as F
from torch import Tensor

from t2s.data.pack import IGNORED, Pack, StepBatch
from t2s.errors import ConfigError
from t2s.model.attention import NO_MASK
from t2s.model.load import autocast
from t2s.model.lora import trainable
from t2s.model.speed import uncompiled


@dataclass(frozen=True)
class OptimizerSpec:
    """AdamW with linear warm-up and cosine decay.

    Attributes:
        name: `adamw`, `adamw_fused` or `paged_adamw_8bit` (CUDA).
        learning_rate: Peak.
        lora_b_ratio: The learning rate of LoRA's B matrices as a multiple of that; 1 treats all alike (LoRA+, Hayou et al. 2024).
        weight_decay: Decoupled.
        betas: Of Adam's moments.
        warmup_steps: Steps at the start in which the learning rate rises.
        final_ratio: Last learning rate as a share of the peak.
        clip_norm: Largest gradient norm; 0 does not clip.
    """

    name: str
    learning_rate: float
    lora_b_ratio: float
    weight_decay: float
    betas: tuple[float, float]
    warmup_steps: int
    final_ratio: float
    clip_norm: float


def pack_loss(model: torch.nn.Module, pack: Pack) -> Tensor:
    """Sum of token losses over the pack's supervised tokens, in nats, float32.

    The language-model head runs on supervised positions alone.
    """
    return _loss(_forward(model, pack).logits, pack)


def _forward(model: torch.nn.Module, pack: Pack, **options: Any) -> Any:
    """The model's output for a pack, with logits of supervised positions alone."""
    if pack.trees:
        attention: dict[str, Any] = {"attention_mask": NO_MASK.to(pack.ids_BT.device), "tree": pack.layout}
    else:
        attention = {"attention_mask": pack.real_BT}
    return model(
        input_ids=pack.ids_BT,
        position_ids=pack.positions_BT,
        use_cache=False,  # with a cache, sequences leak into each other
        logits_to_keep=_wanted(pack),
        **attention,
        **options,
    )


def _wanted(pack: Pack) -> Tensor:
    return (pack.targets_BT != IGNORED).any(dim=0)


def _loss(logits_BSV: Tensor, pack: Pack) -> Tensor:
    targets = pack.targets_BT[:, _wanted(pack)].flatten()
    return F.cross_entropy(logits_BSV.flatten(0, 1).float(), targets, ignore_index=IGNORED, reduction="sum")


def gradients_of(model: torch.nn.Module) -> list[Tensor]:
    """Gradients of all trained parameters, zero where there was nothing to learn from."""
    for parameter in trainable(model).values():
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    return [parameter.grad for parameter in trainable(model).values() if parameter.grad is not None]


def sum_over_processes(tensors: Sequence[Tensor]) -> None:
    """Adds up each tensor over all processes, in place and in one message; nothing where there is one process.

    Each process divides its loss by the tokens of the whole step, so the sum of gradients is that of the whole step,
    whatever the shares. DistributedDataParallel would take a mean, and expects one backward pass from each process.
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    torch.distributed.all_reduce(flat)
    for tensor, part in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(part.view_as(tensor))


# Of one loss to another, beyond rounding: in float32 sums differ by about 1e-6, in bfloat16 by a few tenths of a percent.
LARGEST_DIFFERENCE = {torch.float32: 1e-4, torch.bfloat16: 2e-2}
# Of what a token's first layer gives, by length: rounding has changed it by 1.4 % at most in bfloat16, a causal mask in the tree's
# place by 25 % and more. An untrained model's loss hardly tells.
LARGEST_DIFFERENCE_OF_A_TOKEN = {torch.float32: 1e-3, torch.bfloat16: 5e-2}
CHECKED_EXAMPLES = 3


def check_shared_pack(model: torch.nn.Module, pack: Pack) -> None:
    """Refuses a model for which a shared pack differs from padded rows: a mask that is dropped must never train.

    Args:
        model: As it will train.
        pack: Its first examples are compared, in their loss and in what the first layer gives; padded packs pass.

    Raises:
        ConfigError: they differ by more than rounding.
    """
    if not pack.trees:
        return
    few = pack.part(0, min(CHECKED_EXAMPLES, pack.examples))
    was_training = model.training
    model.eval()  # dropout would draw differently for the two
    try:
        with torch.no_grad(), uncompiled():
            (shared, shared_SD), (rows, rows_SD) = (_loss_and_first_layer(model, p) for p in (few, few.as_rows()))
    finally:
        model.train(was_training)
    dtype = max((p.dtype for p in model.parameters() if p.dtype in LARGEST_DIFFERENCE), key=lambda kind: LARGEST_DIFFERENCE[kind])
    apart = float(((shared_SD - rows_SD).norm(dim=-1) / rows_SD.norm(dim=-1)).max())
    if not (abs(shared - rows) <= LARGEST_DIFFERENCE[dtype] * abs(rows) and apart <= LARGEST_DIFFERENCE_OF_A_TOKEN[dtype]):
        raise ConfigError(
            f"a shared pack of this model has the loss {shared:.4f}, and the same examples as padded rows have {rows:.4f}; a token's first "
            f"layer differs by up to {apart:.1%}: the model drops or changes the tree mask; train with data.packing=none"
        )


def _loss_and_first_layer(model: torch.nn.Module, pack: Pack) -> tuple[float, Tensor]:
    """The loss, and what the first layer gives at each supervised token: float32 [S, D]."""
    output = _forward(model, pack, output_hidden_states=True)
    return _loss(output.logits, pack).item(), output.hidden_states[1][pack.targets_BT != IGNORED].float()


def learning_rate_factor(step: int, total_steps: int, warmup_steps: int, final_ratio: float) -> float:
    """Linear warm-up, then half a cosine to `final_ratio` (Loshchilov and Hutter 2017)."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    progress = min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps))
    return final_ratio + (1 - final_ratio) * 0.5 * (1 + math.cos(math.pi * progress))


class TextToSQLModule(lightning.LightningModule):
    """Trains the LoRA weights of `model`; one batch is one optimizer step.

    Args:
        model: A PEFT model whose base is frozen.
        optimizer: AdamW's settings.
        total_steps: Optimizer steps of the whole training, for the schedule. May change before they are done.
        seed: With the step number, seeds dropout, so that a resumed run draws what an unbroken one would.
        self_check: Compare the first shared pack with padded rows before anything is learnt from it.
    """

    def __init__(self, model: torch.nn.Module, optimizer: OptimizerSpec, total_steps: int, seed: int, self_check: bool) -> None:
        super().__init__()
        self.automatic_optimization = False  # the loss is normalised over the whole step, whatever its packs
        self.strict_loading = False  # checkpoints do not hold the base
        self.model = model
        self._optimizer = optimizer
        self.total_steps = total_steps
        self._seed = seed
        self._to_check = self_check
        self._most_tokens = sys.maxsize  # of a pack that memory is known to hold

    def autocast(self) -> AbstractContextManager[Any]:
        """Mixed precision as trained: use it for every forward pass."""
        return autocast(self.device)

    def training_step(self, batch: StepBatch, batch_idx: int) -> None:
        started = time.perf_counter()
        if self._to_check and batch.packs:
            with self.autocast():
                check_shared_pack(self.model, batch.packs[0])
            self._to_check = False
        torch.manual_seed(self._seed * 1_000_003 + self.global_step)
        optimizer = self.optimizers()
        assert isinstance(optimizer, lightning.pytorch.core.optimizer.LightningOptimizer)
        total = torch.zeros((), device=self.device)
        for pack in batch.packs:
            total += self._learn(pack, batch.supervised_tokens)
        sum_over_processes([total, *gradients_of(self.model)])
        norm = torch.nn.utils.clip_grad_norm_(trainable(self.model).values(), self._optimizer.clip_norm or math.inf)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        scheduler = self.lr_schedulers()
        rate = scheduler.get_last_lr()[0]  # type: ignore[union-attr]
        scheduler.step()  # type: ignore[union-attr, call-arg]
        seconds = time.perf_counter() - started
        self.log("train/loss", total / batch.supervised_tokens, prog_bar=True)
        self.log_dict(
            {
                "train/learning_rate": rate,
                "train/gradient_norm": norm,
                "train/examples_per_second": batch.examples / seconds,
                "train/tokens_per_second": sum(pack.physical_tokens for pack in batch.packs) / seconds,
                "train/memory_bytes": float(memory_bytes(self.device)),
            }
        )

    def _learn(self, pack: Pack, supervised_tokens: int) -> Tensor:
        """Adds a pack's share of the step's gradients; returns its loss. What does not fit into memory is learnt in halves.

        Raises:
            ConfigError: a single example does not fit.
        """
        if pack.physical_tokens <= self._most_tokens or pack.examples == 1:
            try:
                loss, gradients = self._gradients(pack, supervised_tokens)
            except torch.OutOfMemoryError as error:
                if pack.examples == 1:
                    raise ConfigError(
                        f"an example of {pack.physical_tokens} tokens does not fit into memory; set model.activation_checkpointing=true, "
                        "choose a smaller model, or set data.max_tokens lower and data.too_long=drop"
                    ) from error
                self._most_tokens = pack.physical_tokens // 2
            else:
                for parameter, gradient in zip(trainable(self.model).values(), gradients, strict=True):
                    parameter.grad = gradient if parameter.grad is None else parameter.grad.add_(gradient)
                return loss
        torch.cuda.empty_cache()  # what the failed attempt left in odd sizes; nothing on a CPU
        half = pack.examples // 2
        return self._learn(pack.part(0, half), supervised_tokens) + self._learn(pack.part(half, pack.examples), supervised_tokens)

    def _gradients(self, pack: Pack, supervised_tokens: int) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Loss and gradients, which are handed over whole: a backward pass may run out of memory half-way."""
        with self.autocast():
            loss = pack_loss(self.model, pack)
        return loss.detach(), torch.autograd.grad(loss / supervised_tokens, [*trainable(self.model).values()])

    def validation_step(self, batch: StepBatch, batch_idx: int) -> None:
        with self.autocast(), uncompiled():
            total = torch.stack([pack_loss(self.model, pack) for pack in batch.packs]).sum()
        self.log("val/loss", total / batch.supervised_tokens, batch_size=batch.supervised_tokens)

    def configure_optimizers(self) -> Any:
        # Not the trainer's own estimate: asking for it here sets up the loader before a checkpoint's position reaches it
        # (Lightning 2.6), and a resumed run would begin its epoch anew.
        spec = self._optimizer
        optimizer = _build_optimizer(spec, trainable(self.model))
        scheduler = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: learning_rate_factor(step, self.total_steps, spec.warmup_steps, spec.final_ratio)
        )
        return {"optimizer": optimizer, "lr_scheduler": scheduler}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["state_dict"] = {f"model.{name}": parameter.detach() for name, parameter in trainable(self.model).items()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        expected = {f"model.{name}": parameter.shape for name, parameter in trainable(self.model).items()}
        found = {name: tensor.shape for name, tensor in checkpoint["state_dict"].items()}
        if expected != found:
            odd = sorted(set(expected.items()) ^ set(found.items()))[0][0]
            raise ConfigError(f"this checkpoint belongs to another adapter ({odd} differs); resume with the settings it was made with")


def _build_optimizer(spec: OptimizerSpec, parameters: Mapping[str, torch.nn.Parameter]) -> torch.optim.Optimizer:
    options: dict[str, Any] = {"lr": spec.learning_rate, "weight_decay": spec.weight_decay, "betas": spec.betas}
    in_b = {name: "lora_B" in name or "lora_embedding_B" in name for name in parameters}
    groups: list[dict[str, Any]] = [
        {"params": [parameter for name, parameter in parameters.items() if not in_b[name]]},
        {"params": [parameter for name, parameter in parameters.items() if in_b[name]], "lr": spec.learning_rate * spec.lora_b_ratio},
    ]
    if spec.name == "paged_adamw_8bit":
        if next(iter(parameters.values())).device.type != "cuda":
            raise ConfigError("optimizer.name=paged_adamw_8bit needs CUDA; use optimizer.name=adamw")
        import bitsandbytes

        return bitsandbytes.optim.PagedAdamW8bit(groups, **options)  # type: ignore
    return torch.optim.AdamW(groups, fused=spec.name == "adamw_fused", **options)


def memory_bytes(device: torch.device) -> int:
    """Peak memory so far: allocated on CUDA, resident of this process on the CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    info = psutil.Process().memory_info()
    peak = getattr(info, "peak_wset", 0)  # Windows
    if not peak:
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # kibibytes on Linux
    return int(peak)
