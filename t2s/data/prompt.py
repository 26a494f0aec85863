"""The prompt: system text with the rendered schema, then the question. The only place that writes one.

A prompt is cut in two where the first question begins: its *prefix* is the same for every question on one database, so
it is tokenised, computed and cached once; its *suffix* holds the question. Content is tokenised apart from the chat
template's own marks, so no question or cell value can smuggle in a special token.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from jinja2 import TemplateError

from t2s.data.example import Example
from t2s.errors import ConfigError, DataError
from t2s.sql.dialect import from_dialect, to_dialect
from t2s.sql.schema import Column, Schema, Table

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# Llama 3.2's own template writes today's date into the prompt unless it is given one; a prompt must not change overnight.
TEMPLATE_DATE = "01 Jan 2025"
ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Words SQLite does not accept as a bare name where our prompts would show one.
_RESERVED_WORDS = """
add all alter and as autoincrement between by case cast check collate commit constraint create cross
current_date current_time current_timestamp default deferrable delete desc distinct drop else end escape
except exists foreign from full group having if in index inner insert intersect into is isnull join left limit
natural not nothing notnull null on or order outer primary raise references returning right select set table
then to transaction union unique update using values when where with
"""
RESERVED = frozenset(_RESERVED_WORDS.split())


@dataclass(frozen=True)
class SchemaStyle:
    """What of a schema the prompt shows.

    Attributes:
        types: Column types.
        keys: Primary and foreign keys.
        comments: Comments of tables and columns.
        samples: Values shown per column, at most; 0 shows none.
    """

    types: bool
    keys: bool
    comments: bool
    samples: int


def render_schema(schema: Schema, style: SchemaStyle) -> str:
    """The schema as compact DDL, one table a line.

    Example:
        stores(store_id integer primary key, city text 'Oslo' 'Bergen', closed_on text -- NULL while open)
    """
    return "\n".join(_render_table(table, style) for table in schema.tables)


def quote_name(name: str) -> str:
    """A table or column name as SQL wants it written."""
    plain = PLAIN_NAME.fullmatch(name) and name.lower() not in RESERVED
    return name if plain else '"' + name.replace('"', '""') + '"'


def _render_table(table: Table, style: SchemaStyle) -> str:
    columns = ", ".join(_render_column(column, style) for column in table.columns)
    comment = f" -- {_one_line(table.comment)}" if style.comments and table.comment else ""
    return f"{quote_name(table.name)}({columns}){comment}"


def _render_column(column: Column, style: SchemaStyle) -> str:
    parts = [quote_name(column.name)]
    if style.keys and column.references:
        target, key = column.references
        # The key's name is said only when it differs: it repeats in nearly every schema. So does its type.
        parts.append(f"references {quote_name(target)}" + ("" if key == column.name else f"({quote_name(key)})"))
    elif style.types and column.type:
        parts.append(_type(column))
    if style.keys and column.primary_key:
        parts.append("primary key")
    parts += [_literal(value) for value in _samples(column, style.samples)]
    if style.comments and column.comment:
        parts.append(f"-- {_one_line(column.comment)}")
    return " ".join(parts)


def _type(column: Column) -> str:
    """The declared type; text that holds dates says so, which is shorter than an example and tells as much."""
    if column.samples and all(ISO_DATE.match(str(value)) for value in column.samples):
        return "datetime" if len(str(column.samples[0])) > len("2025-01-01") else "date"
    return column.type.lower()


def _samples(column: Column, most: int) -> list[str]:
    """Values worth their tokens: words people filter by. Numbers and dates tell little."""
    return [value for value in column.samples if isinstance(value, str) and not ISO_DATE.match(value)][:most]


def _literal(value: str) -> str:
    return "'" + _one_line(value).replace("'", "''") + "'"


def _one_line(text: str) -> str:
    return " ".join(text.split())


@dataclass(frozen=True)
class TokenizedPrompt:
    """A prompt as token ids; the model sees `prefix` then `suffix`."""

    prefix: tuple[int, ...]
    suffix: tuple[int, ...]


@dataclass(frozen=True)
class TokenizedExample:
    """A prompt with the completion the loss sees: the SQL and the end token.

    Attributes:
        prompt: What stands before the completion.
        completion: The SQL and the end token.
        earlier: Where the suffix holds SQL of earlier turns, with its end token, that is learnt too: first token and the
            one behind the last, counted in the suffix. None begins at 0: what predicts a learnt token is the example's own.
    """

    prompt: TokenizedPrompt
    completion: tuple[int, ...]
    earlier: tuple[tuple[int, int], ...] = ()

    @property
    def tokens(self) -> int:
        return len(self.prompt.prefix) + len(self.prompt.suffix) + len(self.completion)

    @property
    def supervised_tokens(self) -> int:
        return len(self.completion) + sum(stop - start for start, stop in self.earlier)


class SchemaSource(Protocol):
    """Gives what of a schema a prompt shows."""

    def show(self, example: Example, training: bool) -> tuple[str, str]:
        """The schema text, and what stands behind the question; the example's own SQL may count in training alone."""


@dataclass(frozen=True)
class WholeSchemas:
    """Shows each database's schema as it is."""

    texts: Mapping[str, str]

    def show(self, example: Example, training: bool) -> tuple[str, str]:
        return self.texts[example.database], ""


@dataclass(frozen=True)
class Tongue:
    """The dialect of SQL that the model writes and reads, beside SQLite, which examples hold and which runs.

    Attributes:
        dialect: As sqlglot calls it.
        schemas: By database name: types of columns decide how dates are written.
    """

    dialect: str
    schemas: Mapping[str, Schema]

    def write(self, sql: str, database: str) -> str:
        """SQLite in the dialect."""
        return sql if self.dialect == "sqlite" else to_dialect(sql, self.dialect, self.schemas.get(database))

    def read(self, sql: str, database: str) -> str:
        """The dialect in SQLite; what cannot be read stays, and fails when it runs."""
        if self.dialect == "sqlite":
            return sql
        try:
            return from_dialect(sql, self.dialect, self.schemas.get(database))
        except DataError:
            return sql


class PromptEncoder:
    """Renders and tokenises prompts for one model, the same way for training, evaluation, inference and export.

    Args:
        tokenizer: The model's tokenizer.
        template: `auto` for the tokenizer's own chat template (ChatML where it has none), `chatml` to force ChatML.
        instruction: What the model is told before the schema.
        schemas: Rendered schema by database name, or what gives it for each example.
        supervise: What `encode` marks to be learnt: `last`, the SQL that answers the example's question, or `all`, that
            of each earlier turn too.
        tongue: The dialect that the model writes; None for SQLite.

    Raises:
        ConfigError: the template cannot be cut at the question, or no end token can be found; for `all`, an earlier
            answer does not close with it.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        template: str,
        instruction: str,
        schemas: Mapping[str, str] | SchemaSource,
        supervise: str,
        tongue: Tongue | None = None,
    ) -> None:
        self._tokenizer = tokenizer
        self._supervise = supervise
        self.chat_template: str = CHATML if template == "chatml" or not tokenizer.chat_template else str(tokenizer.chat_template)
        self._instruction = instruction.strip()
        self._source = WholeSchemas(schemas) if isinstance(schemas, Mapping) else schemas
        self.tongue = tongue or Tongue("sqlite", {})
        self._prefixes: dict[str, tuple[int, ...]] = {}
        self._marks_by_length: dict[int, list[str]] = {}
        self.end_token_id = self._find_end_token()
        if supervise == "all" and self._special(self._marks(4)[3])[:1] != [self.end_token_id]:
            raise ConfigError(
                "the chat template does not close an earlier answer with the token that ends the last one, so data.supervise=all "
                "would teach two endings; use data.template=chatml or data.supervise=last"
            )

    def prompt(self, example: Example) -> TokenizedPrompt:
        """Token ids of the prompt that asks `example.question`, after its history."""
        return self._prompt(example, training=False)[0]

    def encode(self, example: Example) -> TokenizedExample:
        """Token ids of prompt and completion, and which of them are learnt."""
        prompt, answers = self._prompt(example, training=True)
        completion = (*self._plain(self.tongue.write(example.sql, example.database)), self.end_token_id)
        return TokenizedExample(prompt, completion, answers if self._supervise == "all" else ())

    def _prompt(self, example: Example, training: bool) -> tuple[TokenizedPrompt, tuple[tuple[int, int], ...]]:
        """The prompt, and where its suffix holds earlier answers, each with the first token of the mark that closes it."""
        schema, hints = self._source.show(example, training)
        contents = [f"{self._instruction}\n\n{schema.strip()}"]
        for turn in example.history:
            contents += [turn.question, self.tongue.write(turn.sql, example.database)]
        contents.append(f"{example.question}\n{hints}" if hints else example.question)
        marks = self._marks(len(contents))
        if schema not in self._prefixes:
            self._prefixes[schema] = (*self._special(marks[0]), *self._plain(contents[0]), *self._special(marks[1]))
        suffix: list[int] = []
        answers: list[tuple[int, int]] = []
        for place, (content, mark) in enumerate(zip(contents[1:], marks[2:], strict=True)):
            start = len(suffix)
            suffix += self._plain(content)
            if place % 2:
                answers.append((start, len(suffix) + 1))
            suffix += self._special(mark)
        return TokenizedPrompt(self._prefixes[schema], tuple(suffix)), tuple(answers)

    def learnt(self) -> dict[str, Any]:
        """What linking learnt from training pairs, by database name."""
        learnt: dict[str, Any] = getattr(self._source, "learnt", dict)()
        return learnt

    def decode(self, ids: Sequence[int]) -> str:
        """Text of completion ids, up to the end token."""
        ids = list(ids)
        if self.end_token_id in ids:
            ids = ids[: ids.index(self.end_token_id)]
        return str(self._tokenizer.decode(ids, skip_special_tokens=True))

    def text(self, ids: Sequence[int]) -> str:
        """Text of any ids, special tokens included, for people to read."""
        return str(self._tokenizer.decode(list(ids)))

    def _marks(self, contents: int) -> list[str]:
        """The chat template's own text around `contents` messages: system, then user and assistant in turn."""
        if contents not in self._marks_by_length:
            self._marks_by_length[contents] = self._split([self._place(i) for i in range(contents)], generation_prompt=True)
        return self._marks_by_length[contents]

    @staticmethod
    def _place(index: int) -> str:
        return f"placeholder{index}x"

    def _split(self, places: list[str], *, generation_prompt: bool) -> list[str]:
        roles = ["system"] + ["assistant" if i % 2 else "user" for i in range(len(places) - 1)]
        messages = [{"role": role, "content": place} for role, place in zip(roles, places, strict=True)]
        try:
            rendered = self._tokenizer.apply_chat_template(
                messages,
                chat_template=self.chat_template,
                tokenize=False,
                add_generation_prompt=generation_prompt,
                date_string=TEMPLATE_DATE,
            )
        except TemplateError as error:
            raise ConfigError(f"the model's chat template refuses our messages ({error}); use data.template=chatml") from error
        text = str(rendered)
        marks = []
        for place in places:
            before, found, text = text.partition(place)
            if not found:
                raise ConfigError("the chat template does not show system, user and assistant in turn; use data.template=chatml")
            marks.append(before)
        return [*marks, text]

    def _find_end_token(self) -> int:
        """The token that closes the assistant's turn: the first after its content, if special, else the tokenizer's own."""
        closing = self._special(self._split([self._place(i) for i in range(3)], generation_prompt=False)[-1].strip())
        special = set(self._tokenizer.all_special_ids) | set(self._tokenizer.added_tokens_decoder)
        if closing and closing[0] in special:
            return int(closing[0])
        if self._tokenizer.eos_token_id is None:
            raise ConfigError("the tokenizer has no end token and the chat template closes with none; choose an instruct model")
        return int(self._tokenizer.eos_token_id)

    def _special(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"]) if text else []

    def _plain(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"])
