"""Steps that run queries: whether they end, return something, return it again, and stay the same in another style."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from t2s.data.cleaning.pair import Pair, Result, Room, Verdict, one_line
from t2s.data.cleaning.ties import KeyedQuery, cut_ties, with_keys
from t2s.errors import DataError
from t2s.sql.canonical import canonical
from t2s.sql.compare import is_ordered
from t2s.sql.execute import Outcome, Row, Sandbox, Value

# Sums of the same numbers in another order differ in the last digits.
_DIGITS = 9


def check_runs(pairs: Sequence[Pair], room: Room) -> Iterator[Verdict]:
    """Runs each query once, and remembers what identifies its rows."""
    for pair, outcome in zip(pairs, _outcomes(room.sandbox, [pair.example.sql for pair in pairs], pairs, room), strict=True):
        if outcome.kind == "ok":
            pair.result = result_of(outcome.rows)
            yield None
        else:
            yield f"{outcome.kind.replace('_', ' ')}: {one_line(outcome.detail)}"


def check_empty(pairs: Sequence[Pair], room: Room) -> Iterator[Verdict]:
    """Refuses queries without rows, and those whose only row says nothing, unless the pair is tagged `empty`."""
    for pair in pairs:
        nothing = _known(pair).count == 0 or _known(pair).rows == _ONE_NULL
        yield "it returns nothing; tag it `empty` if that is right" if nothing and "empty" not in pair.example.tags else None


def check_clock(pairs: Sequence[Pair], room: Room) -> Iterator[Verdict]:
    """Refuses queries that ask the clock or draw lots."""
    yield from (f"its answer changes by itself: {pair.query.hangs_on}" if pair.query.hangs_on else None for pair in pairs)


def check_luck(pairs: Sequence[Pair], room: Room) -> Iterator[Verdict]:
    """Runs each query again, rows read backwards, and looks for ties at the cut of its LIMIT."""
    with ExitStack() as stack:
        backwards = stack.enter_context(room.sandbox.backwards())
        again = _outcomes(backwards, [pair.example.sql for pair in pairs], pairs, room)
        keyed = [with_keys(pair.example.sql) if pair.query.limited else None for pair in pairs]
        tried = iter(_tried(keyed, pairs, room))
        for pair, outcome, query in zip(pairs, again, keyed, strict=True):
            tie = "" if query is None else cut_ties(query, next(tried))
            yield _luck(pair, outcome) or tie or None


def restyle(pairs: Sequence[Pair], room: Room) -> Iterator[Verdict]:
    """Rewrites a query in canonical style where the rewritten one returns the same rows."""
    written = [_canonical(pair, room) for pair in pairs]
    todo = [place for place, sql in enumerate(written) if sql != pairs[place].example.sql]
    outcomes = iter(_outcomes(room.sandbox, [written[place] for place in todo], [pairs[place] for place in todo], room))
    waiting = set(todo)
    for place, pair in enumerate(pairs):
        same = place in waiting and _returns_the_same(pair, next(outcomes))
        yield replace(pair.example, sql=written[place]) if same else None


def result_of(rows: Sequence[Row]) -> Result:
    """What identifies rows: two hashes, one blind to their order."""
    encoded = [b"\x1e".join(map(_cell, row)) for row in rows]
    return Result(_hash(sorted(encoded)), _hash(encoded), len(encoded))


def _outcomes(sandbox: Sandbox, queries: Iterable[str], pairs: Sequence[Pair], room: Room) -> Iterator[Outcome]:
    cases: list[tuple[str, Path]] = [(sql, room.databases[pair.example.database]) for sql, pair in zip(queries, pairs, strict=True)]
    return sandbox.execute_many(cases)


def _tried(keyed: Sequence[KeyedQuery | None], pairs: Sequence[Pair], room: Room) -> Iterator[Outcome]:
    asked = [(query.sql, pair) for query, pair in zip(keyed, pairs, strict=True) if query is not None]
    return _outcomes(room.sandbox, [sql for sql, _ in asked], [pair for _, pair in asked], room)


def _luck(pair: Pair, again: Outcome) -> str:
    # One that ran before, and now takes too long, has proven nothing.
    if again.kind == "ok" and result_of(again.rows).rows != _known(pair).rows:
        return "other rows when the tables are read backwards: the result hangs on the order of rows that the query leaves open"
    return ""


def _canonical(pair: Pair, room: Room) -> str:
    schema = room.schemas.get(pair.example.database)
    try:
        return pair.example.sql if schema is None else canonical(pair.example.sql, schema)
    except (DataError, RecursionError):
        return pair.example.sql


def _returns_the_same(pair: Pair, outcome: Outcome) -> bool:
    if outcome.kind != "ok":
        return False
    found, known = result_of(outcome.rows), _known(pair)
    return found.sequence == known.sequence if is_ordered(pair.example.sql) else found.rows == known.rows


def _known(pair: Pair) -> Result:
    assert pair.result is not None, "queries run before this step"
    return pair.result


def _cell(value: Value) -> bytes:
    if isinstance(value, float):
        # 3.0 is 3, and -0.0 is 0: SQLite gives either, by the plan it chose.
        return b"i%d" % int(value) if value.is_integer() and abs(value) < 2**53 else f"f{value:.{_DIGITS}g}".encode()
    if isinstance(value, int):
        return b"i%d" % value
    if isinstance(value, bytes):
        return b"b" + value.hex().encode()
    return b"n" if value is None else b"s" + value.encode("utf-8", "surrogatepass")


def _hash(rows: Iterable[bytes]) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for row in rows:
        digest.update(len(row).to_bytes(8, "big") + row)
    return digest.digest()


_ONE_NULL = result_of([(None,)]).rows
