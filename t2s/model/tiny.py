"""A random model and a small tokenizer of the same architecture as the real ones, built on the spot."""

from __future__ import annotations

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from t2s.model.sources import TinySpec

# Qwen2's own split; transformers 5 puts it back whenever a config says qwen2, so ours must agree from the start.
SPLIT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
CORPUS = (
    "SELECT COUNT(*) FROM customers WHERE country = 'Norway'",
    "SELECT p.name, SUM(oi.quantity * oi.unit_price) FROM order_items oi JOIN products p ON oi.product_id = p.product_id",
    "SELECT DISTINCT name FROM stores WHERE closed_on IS NULL GROUP BY city HAVING AVG(price) > 10 ORDER BY 1 DESC LIMIT 5",
    "employee_id integer primary key, first_name text, last_name text references, status, strftime('%Y', ordered_at)",
    "which what how many show list the of per by are were was have has each with and or not more than between total average",
)


def build_tiny(spec: TinySpec) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """A random model in float32 with its tokenizer."""
    tokenizer = _tokenizer(spec.vocabulary)
    shape = {
        "vocab_size": len(tokenizer),
        "hidden_size": spec.hidden_size,
        "intermediate_size": 2 * spec.hidden_size,
        "num_hidden_layers": spec.layers,
        "num_attention_heads": spec.heads,
        "num_key_value_heads": max(1, spec.heads // 2),
        "max_position_embeddings": 8192,
        "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": None,
        "pad_token_id": tokenizer.pad_token_id,
        "tie_word_embeddings": True,
        "initializer_range": 0.1,  # 0.02 leaves so small a model nearly constant
    }
    with torch.random.fork_rng():
        torch.manual_seed(spec.seed)
        if spec.architecture == "qwen2":
            return Qwen2ForCausalLM(Qwen2Config(**shape)).eval(), tokenizer
        return LlamaForCausalLM(LlamaConfig(**shape)).eval(), tokenizer


def _tokenizer(vocabulary: int) -> PreTrainedTokenizerFast:
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(SPLIT), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>")
