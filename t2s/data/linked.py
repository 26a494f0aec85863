"""The part of a schema that a question's prompt shows, and the values it names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from t2s.data.example import Example
from t2s.data.prompt import SchemaStyle, quote_name, render_schema
from t2s.errors import DataError
from t2s.sql.linking import Hint, Linked, Linker
from t2s.sql.parse import tables
from t2s.sql.schema import Schema

MOST_HINTS = 5


@dataclass(frozen=True)
class LinkingSpec:
    """How schemas are cut to what questions need.

    Attributes:
        mode: `none` shows the whole schema, `keyword` the tables a question is about, `auto` the whole where it fits the budget:
            one prefix for all questions is computed once.
        max_tokens: Of the tables shown, where they are chosen.
        value_hints: Name cell values that a question speaks of.
    """

    mode: str
    max_tokens: int
    value_hints: bool


class LinkedSchemas:
    """Schema texts and value hints for questions on several databases.

    The same tables always give the same text, so that questions about them share a prefix.

    Args:
        schemas: By database name.
        linker: Makes a database's linker, which prices tables in tokens; asked once, and only where a part or hints are to be shown.
        style: How schemas are written.
        spec: What to cut.
        count: Tokens of a text.
    """

    def __init__(
        self,
        schemas: Mapping[str, Schema],
        linker: Callable[[str], Linker],
        style: SchemaStyle,
        spec: LinkingSpec,
        count: Callable[[str], int],
    ) -> None:
        self._schemas, self._style, self._spec = schemas, style, spec
        texts = {name: render_schema(schema, style) for name, schema in schemas.items()}
        fits = {name for name, text in texts.items() if spec.mode == "none" or (spec.mode == "auto" and count(text) <= spec.max_tokens)}
        self._whole = {name: text for name, text in texts.items() if name in fits}
        self._linkers = {name: linker(name) for name in schemas if spec.value_hints or name not in fits}

    def learnt(self) -> dict[str, Any]:
        """What linking learnt, by database name: for whoever shows schemas of the same run later."""
        return {name: linker.learnt() for name, linker in self._linkers.items()}

    def linked(self, database: str) -> bool:
        """Whether questions on that database see a part of its schema."""
        return database not in self._whole

    def show(self, example: Example, training: bool) -> tuple[str, str]:
        """The schema text of an example, and what to write behind its question: both may not depend on its SQL but in training.

        Args:
            example: A question with its history.
            training: Keep the tables of the gold query, whatever the budget.
        """
        name = example.database
        if not self.linked(name) and not self._spec.value_hints:
            return self._whole[name], ""
        found = self._link(example, training and self.linked(name))
        text = render_schema(part(self._schemas[name], found.tables), self._style) if self.linked(name) else self._whole[name]
        return text, _hints(found.hints) if self._spec.value_hints else ""

    def _link(self, example: Example, keep_gold: bool) -> Linked:
        asked = " ".join([*(turn.question for turn in example.history), example.question])
        earlier = [turn.sql for turn in example.history]
        needed = [table for sql in [*earlier, *([example.sql] if keep_gold else [])] for table in sorted(tables_read(sql))]
        budget = self._spec.max_tokens if self.linked(example.database) else 10**9
        return self._linkers[example.database].link(asked, budget, needed, MOST_HINTS)


def part(schema: Schema, names: tuple[str, ...]) -> Schema:
    """The schema of some tables; keys that point to others are left out."""
    shown = set(names)
    return Schema(
        tuple(
            replace(
                table,
                columns=tuple(
                    c if c.references is None or c.references[0] in shown else replace(c, references=None) for c in table.columns
                ),
            )
            for table in schema.tables
            if table.name in shown
        )
    )


def _hints(hints: tuple[Hint, ...]) -> str:
    """One line a value, as SQL would compare it."""
    lines = [f"{quote_name(h.table)}.{quote_name(h.column)} = '" + h.value.replace("'", "''") + "'" for h in hints]
    return "\n".join(("Values:", *lines)) if lines else ""


def tables_read(sql: str) -> frozenset[str]:
    """Tables a query reads, in lower case; none where it cannot be parsed."""
    try:
        return tables(sql) if sql else frozenset()
    except DataError:
        return frozenset()
