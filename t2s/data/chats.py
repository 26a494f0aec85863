"""Conversations as others write them: chat formats, Alpaca, SParC and CoSQL. Each turn becomes an example with those before it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from t2s.data.example import Example, Turn
from t2s.data.readers import database_of, optional_text, query_of, text_field
from t2s.sql.parse import split_answer

_ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "model": "assistant", "system": "system"}
_DATABASE_KEYS = ("database", "db_id", "database_id", "db")


def read_chat(record: Mapping[str, Any], databases: Collection[str], place: str) -> list[Example]:
    """A chat: OpenAI's `messages` (role, content) or ShareGPT's `conversations` (from, value).

    System messages, which hold instruction and schema, are left. SQL may stand in a code fence. An answer of weight 0, as
    OpenAI has it, is history alone.

    Raises:
        ValueError: questions and answers do not take turns, or an answer is no single query.
    """
    messages = [message for message in _messages(record) if message[0] != "system"]
    if not messages or len(messages) % 2:
        raise ValueError(f"{len(messages)} messages of user and assistant; each question needs its answer")
    turns, learnt = [], []
    for number, ((asker, question, _), (teller, answer, weight)) in enumerate(zip(messages[::2], messages[1::2], strict=True), 1):
        if (asker, teller) != ("user", "assistant"):
            raise ValueError(f"turn {number} is by {asker} and {teller}; user and assistant must take turns")
        turns.append(_turn(question, split_answer(answer), number))
        learnt.append(weight != 0)
    examples = _examples(turns, record, databases, place)
    return [example for example, wanted in zip(examples, learnt, strict=True) if wanted]


def read_interaction(record: Mapping[str, Any], databases: Collection[str], place: str) -> list[Example]:
    """SParC's and CoSQL's layout: `interaction`, a list of turns with utterance and query, and perhaps a `final` goal.

    The goal, one question for the whole conversation, becomes an example without history, tagged `final`.

    Raises:
        ValueError: names the turn that is no question with a query.
    """
    interaction = record.get("interaction")
    if not isinstance(interaction, list) or not interaction:
        raise ValueError("interaction is no list of turns")
    turns = [_interaction_turn(turn, f"turn {number}") for number, turn in enumerate(interaction, 1)]
    examples = _examples(turns, record, databases, place)
    final = record.get("final")
    if not final:
        return examples
    goal = _interaction_turn(final, "final")
    return [*examples, Example(goal.question, goal.sql, _database(record, databases), tags=("final",), id=f"{place}.final")]


def alpaca_reader(records: Sequence[Mapping[str, Any]]) -> Callable[[Mapping[str, Any], Collection[str], str], list[Example]]:
    """Reads instruction, input and output.

    Where several records share one instruction it is the task, and the input is the question. Otherwise the instruction
    is the question, and the input what one must know to answer it; a CREATE TABLE there is the schema, and is left.

    Args:
        records: The first of the file.
    """
    instructions = {str(record.get("instruction")) for record in records}
    inputs = [str(record.get("input") or "") for record in records]
    by_input = len(instructions) == 1 < len(records) and all(inputs) and not any(map(_is_schema, inputs))

    def read(record: Mapping[str, Any], databases: Collection[str], place: str) -> list[Example]:
        given = optional_text(record, "input")
        sql = query_of(split_answer(text_field(record, "output")))
        fact = "" if by_input or _is_schema(given) else given
        question = text_field(record, "input" if by_input else "instruction")
        return [Example(question, sql, _database(record, databases), id=str(record.get("id") or place), evidence=fact)]

    return read


def _is_schema(text: str) -> bool:
    return "create table" in text.lower()


def _messages(record: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """(role, text, weight) of each message."""
    key = "messages" if "messages" in record else "conversations"
    listed = record.get(key)
    if not isinstance(listed, list):
        raise ValueError(f"{key} is no list" if key in record else "no messages")
    for number, message in enumerate(listed, 1):
        if not isinstance(message, dict):
            raise ValueError(f"message {number} is {message!r}, not an object")
        said = message.get("role", message.get("from"))
        role = _ROLES.get(said) if isinstance(said, str) else None
        if role is None:
            raise ValueError(f"message {number} is by {said!r}; known: {', '.join(_ROLES)}")
        yield role, _text(message.get("content", message.get("value")), number), message.get("weight")


def _text(content: Any, number: int) -> str:
    if isinstance(content, list):
        content = "".join(part.get("text", "") for part in content if isinstance(part, dict) and part.get("type") == "text")
    if not isinstance(content, str):
        raise ValueError(f"message {number} holds {content!r}, not a text")
    return content


def _interaction_turn(turn: Any, name: str) -> Turn:
    if not isinstance(turn, dict):
        raise ValueError(f"{name} is {turn!r}, not an object with utterance and query")
    try:
        return Turn(text_field(turn, "utterance"), text_field(turn, "query").removesuffix(";").rstrip())
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _turn(question: str, sql: str, number: int) -> Turn:
    try:
        return Turn(text_field({"question": question}, "question"), query_of(text_field({"sql": sql}, "sql")))
    except ValueError as error:
        raise ValueError(f"turn {number}: {error}") from None


def _examples(turns: Sequence[Turn], record: Mapping[str, Any], databases: Collection[str], place: str) -> list[Example]:
    database = _database(record, databases)
    name = str(record.get("id") or place)
    ids = [name] if len(turns) == 1 else [f"{name}.{number}" for number in range(1, len(turns) + 1)]
    return [Example(turn.question, turn.sql, database, tuple(turns[:at]), id=ids[at]) for at, turn in enumerate(turns)]


def _database(record: Mapping[str, Any], databases: Collection[str]) -> str:
    name = next((record[key] for key in _DATABASE_KEYS if key in record), None)
    return database_of({} if name is None else {"database": name}, databases)
