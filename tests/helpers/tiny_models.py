"""Tiny models of the real architectures, and examples on a three-table schema."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from peft import PeftModel
from transformers import PreTrainedTokenizerBase

from t2s.data.example import Example, Turn
from t2s.data.prompt import PromptEncoder, TokenizedExample
from t2s.model.load import load_base
from t2s.model.lora import LoraSpec, add_lora
from t2s.model.sources import ModelSpec, TinySpec

CPU = torch.device("cpu")
SCHEMA = "ponds(pond_id integer primary key, name text)\nfrogs(frog_id integer primary key, pond_id references ponds, mass_g real)"
PAIRS = (
    ("How many frogs?", "SELECT COUNT(*) FROM frogs"),
    ("names of all ponds please, in alphabetical order", "SELECT name FROM ponds ORDER BY name"),
    ("heaviest frog", "SELECT MAX(mass_g) FROM frogs"),
    (
        "for each pond its name and number of frogs",
        "SELECT p.name, COUNT(*) FROM ponds p JOIN frogs f ON p.pond_id = f.pond_id GROUP BY p.pond_id",
    ),
    ("frogs in pond 3?", "SELECT frog_id FROM frogs WHERE pond_id = 3"),
)


def tiny_spec(architecture: str, quantization: str = "none", *, checkpointing: bool = False, decode_once: str = "auto") -> ModelSpec:
    shape = TinySpec(architecture, hidden_size=64, layers=2, heads=4, vocabulary=400, seed=0)
    return ModelSpec("tiny", "random", "", None, quantization, decode_once, "sdpa", checkpointing, Path("unused"), shape)


def lora_model(spec: ModelSpec, seed: int = 0) -> tuple[PeftModel, PreTrainedTokenizerBase]:
    """A LoRA model whose B matrices are not zero, so that every gradient is alive."""
    base, tokenizer = load_base(spec, CPU)
    torch.manual_seed(seed)
    model = add_lora(base, LoraSpec(4, 8, 0.0, "all-linear", False, False, "default"))
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.05)
    return model, tokenizer


def encode(tokenizer: PreTrainedTokenizerBase, database: str = "pond") -> list[TokenizedExample]:
    encoder = _encoder(tokenizer, "last")
    return [encoder.encode(Example(question, sql, database)) for question, sql in PAIRS]


def encode_conversations(tokenizer: PreTrainedTokenizerBase) -> tuple[list[TokenizedExample], list[TokenizedExample]]:
    """Conversations of three, two and one turns: each as one example that learns every turn, and turn by turn."""
    whole, apart = _encoder(tokenizer, "all"), _encoder(tokenizer, "last")
    turns = [[_turn(pairs, n) for n in range(len(pairs))] for pairs in (PAIRS[:3], PAIRS[3:1:-1], PAIRS[4:])]
    return [whole.encode(one[-1]) for one in turns], [apart.encode(turn) for one in turns for turn in one]


def _turn(pairs: Sequence[tuple[str, str]], number: int) -> Example:
    return Example(*pairs[number], "pond", tuple(Turn(*pair) for pair in pairs[:number]))


def _encoder(tokenizer: PreTrainedTokenizerBase, supervise: str) -> PromptEncoder:
    schemas = {"pond": SCHEMA, "lake": SCHEMA.replace("pond", "lake")}
    return PromptEncoder(tokenizer, "auto", "Answer with SQL.", schemas, supervise)
