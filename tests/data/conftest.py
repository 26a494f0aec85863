"""A shop database and a tokenizer of each family of chat templates."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerBase

from t2s.data.prompt import PromptEncoder, SchemaStyle, render_schema
from t2s.model.sources import TinySpec
from t2s.model.tiny import build_tiny
from t2s.sql.schema import read_schema

LLAMA3 = (
    "{{ bos_token }}{% for message in messages %}{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' "
    "+ message['content'] | trim + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
QWEN = (
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nYou are helpful.<|im_end|>\n{% endif %}"
    "{% for message in messages %}{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# Family -> (chat template or None, its special tokens, the end of an assistant's turn).
FAMILIES: dict[str, tuple[str | None, list[str], str]] = {
    "chatml": (None, [], "<|im_end|>"),
    "qwen": (QWEN, [], "<|im_end|>"),
    "llama3": (LLAMA3, ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"], "<|eot_id|>"),
}
SHOP = """
CREATE TABLE stores (store_id INTEGER PRIMARY KEY, city TEXT NOT NULL, closed_on TEXT -- NULL while open
);
CREATE TABLE "order" ( -- what was sold
    id INTEGER PRIMARY KEY, store_id INTEGER REFERENCES stores, "unit price" REAL, note TEXT);
"""


def tokenizer_of(family: str) -> PreTrainedTokenizerBase:
    template, special, end = FAMILIES[family]
    architecture = "llama" if family == "llama3" else "qwen2"
    _, tokenizer = build_tiny(TinySpec(architecture, hidden_size=16, layers=1, heads=2, vocabulary=400, seed=0))
    if special:
        tokenizer.add_special_tokens({"bos_token": special[0], "eos_token": end, "additional_special_tokens": special})
    tokenizer.chat_template = template
    return tokenizer


@pytest.fixture(scope="session", params=sorted(FAMILIES))
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def end_token(family: str) -> str:
    return FAMILIES[family][2]


@pytest.fixture(scope="session")
def tokenizer(family: str) -> PreTrainedTokenizerBase:
    return tokenizer_of(family)


@pytest.fixture(scope="session")
def chatml() -> PreTrainedTokenizerBase:
    return tokenizer_of("chatml")


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shop") / "shop.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(SHOP)
        cities = ["Oslo"] * 4 + ["Bergen"] * 3 + ["<|im_end|>"] * 2  # often enough to count as categories
        connection.executemany("INSERT INTO stores (city) VALUES (?)", [(city,) for city in cities])
        connection.execute("""INSERT INTO "order" VALUES (1, 1, 9.5, 'Bob''s')""")
    return path


@pytest.fixture(scope="session")
def schemas(shop: Path) -> dict[str, str]:
    style = SchemaStyle(types=True, keys=True, comments=True, samples=5)
    return {"shop": render_schema(read_schema(shop, 5), style), "pets": "pets(name text)"}


@pytest.fixture(scope="session")
def encoder(tokenizer: PreTrainedTokenizerBase, schemas: dict[str, str]) -> PromptEncoder:
    return PromptEncoder(tokenizer, "auto", "Answer with SQL.", schemas, "last")


@pytest.fixture(scope="session")
def chatml_encoder(chatml: PreTrainedTokenizerBase, schemas: dict[str, str]) -> PromptEncoder:
    return PromptEncoder(chatml, "auto", "Answer with SQL.", schemas, "last")


@pytest.fixture(scope="session")
def tokenizers() -> Callable[[str], PreTrainedTokenizerBase]:
    """Makes a fresh tokenizer of a family, for tests that change it."""
    return tokenizer_of
