"""Whether two results are the same."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Literal

from t2s.sql.execute import Row, Value
from t2s.sql.lexer import code_tokens

Comparison = Literal["strict", "bird"]

_TOLERANCE = 1e-6
_NAN = ("NaN",)  # equal to itself, unlike the number
_Cell = Value | tuple[str]
_Cells = tuple[_Cell, ...]


def same_result(gold: Sequence[Row], predicted: Sequence[Row], comparison: Comparison, ordered: bool) -> bool:
    """Whether a prediction's rows answer what the gold's rows answer.

    Args:
        gold: Rows of the gold query.
        predicted: Rows of the predicted query.
        comparison: "strict": the same rows as often, columns in the same order, types kept (3 is 3.0, but not '3'),
            a float within 1e-6 of the other number, relative or absolute. "bird": `set(gold) == set(predicted)`,
            as in the evaluator of BIRD (github.com/AlibabaResearch/DAMO-ConvAI, bird/llm/src/evaluation.py).
        ordered: Whether the order of rows counts too; without effect on "bird", which has none.
    """
    if comparison == "bird":
        return set(gold) == set(predicted)
    if len(gold) != len(predicted):
        return False
    first, second = [_cells(row) for row in gold], [_cells(row) for row in predicted]
    if ordered:
        return all(map(_near_rows, first, second))
    return _same_multiset(first, second)


def is_ordered(sql: str) -> bool:
    """Whether the outermost query has an ORDER BY.

    Every other ORDER BY stands in parentheses: of a subquery, a common table expression, a window or an aggregate.
    """
    depth = 0
    previous = ""
    for token in code_tokens(sql):
        word = token.text.upper() if token.kind == "word" else token.text
        depth += {"(": 1, ")": -1}.get(word, 0)
        if depth == 0 and (previous, word) == ("ORDER", "BY"):
            return True
        previous = word
    return False


def _cells(row: Row) -> _Cells:
    return tuple(_NAN if isinstance(cell, float) and math.isnan(cell) else cell for cell in row)


def _near(first: _Cell, second: _Cell) -> bool:
    """Equal, or numbers within the tolerance; two integers are never near, so that neighbouring ids stay apart."""
    if first == second:
        return True
    if not isinstance(first, int | float) or not isinstance(second, int | float):
        return False
    if isinstance(first, int) and isinstance(second, int):
        return False
    return math.isclose(first, second, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)


def _near_rows(first: _Cells, second: _Cells) -> bool:
    return len(first) == len(second) and all(map(_near, first, second))


def _same_multiset(first: list[_Cells], second: list[_Cells]) -> bool:
    """Equal rows go first; only what is left, as a rule nothing, is matched with tolerance."""
    counts, other_counts = Counter(first), Counter(second)
    left, right = list((counts - other_counts).elements()), list((other_counts - counts).elements())
    groups = _by_key(left, right, _exact_part)
    return all(_match_numbers(mine, theirs, 0) for mine, theirs in groups)


_Pair = tuple[list[_Cells], list[_Cells]]


def _by_key(left: list[_Cells], right: list[_Cells], key: Callable[[_Cells], object]) -> list[_Pair]:
    groups: dict[object, _Pair] = {}
    for side, rows in enumerate((left, right)):
        for row in rows:
            groups.setdefault(key(row), ([], []))[side].append(row)
    return list(groups.values())


def _exact_part(row: _Cells) -> object:
    """The row without its numbers."""
    return tuple("number" if isinstance(cell, int | float) else (cell,) for cell in row)


def _match_numbers(left: list[_Cells], right: list[_Cells], column: int) -> bool:
    """Match rows that differ in numbers only, column by column.

    Each column's values are sorted and cut wherever two neighbours are not near; rows that match lie in one piece.
    That costs n log n per column, where trying every pair costs n². In the last pieces rows pair up in sorted order.
    """
    if len(left) != len(right):
        return False
    if len(left) > 1 and column < len(left[0]):
        return all(_match_numbers(*piece, column + 1) for piece in _pieces(left, right, column))
    return all(map(_near_rows, sorted(left, key=_numbers), sorted(right, key=_numbers)))


def _pieces(left: list[_Cells], right: list[_Cells], column: int) -> list[_Pair]:
    values = sorted({row[column] for row in left + right if isinstance(row[column], int | float)}, key=_number)
    piece_of: dict[_Cell, int] = {}
    for index, value in enumerate(values):
        last = values[index - 1]
        piece_of[value] = 0 if index == 0 else piece_of[last] + (not _near(last, value))
    return _by_key(left, right, lambda row: piece_of.get(row[column]))


def _numbers(row: _Cells) -> list[float | int]:
    return [cell for cell in row if isinstance(cell, int | float)]


def _number(cell: _Cell) -> float | int:
    assert isinstance(cell, int | float)
    return cell
