"""Whether two results are the same."""

import functools
import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Literal

from t2s.sql.execute import Row, Value
from t2s.sql.lexer import code_tokens, tokens

Comparison = Literal["strict", "bird", "spider"]
Columns = Literal["fixed", "free"]

_TOLERANCE = 1e-6
_CURRENT_YEAR = re.compile(r"YEAR\s*\(\s*CURDATE\s*\(\s*\)\s*\)\s*", re.IGNORECASE)
_MOST_TRIES = 20_000  # of partial column orders; results of real queries need a dozen
_NAN = ("NaN",)  # equal to itself, unlike the number
_Cell = Value | tuple[str]
_Cells = tuple[_Cell, ...]


def same_result(gold: Sequence[Row], predicted: Sequence[Row], comparison: Comparison, ordered: bool, columns: Columns = "fixed") -> bool:
    """Whether a prediction's rows answer what the gold's rows answer.

    Args:
        gold: Rows of the gold query.
        predicted: Rows of the predicted query.
        comparison: "strict": the same rows as often, types kept (3 is 3.0, but not '3'), a float within 1e-6 of the other
            number, relative or absolute. "bird": `set(gold) == set(predicted)`, as in the evaluator of BIRD
            (github.com/AlibabaResearch/DAMO-ConvAI, bird/llm/src/evaluation.py). "spider": the same rows as often under some
            order of the columns, as in the test-suite evaluator of Zhong et al. 2020 (github.com/taoyds/test-suite-sql-eval,
            exec_eval.py). That evaluator runs other queries than were written: see `as_spider_runs`.
        ordered: Whether the order of rows counts too; without effect on "bird", which has none.
        columns: For "strict": "free" lets columns come in any order. "bird" never does, "spider" always.
    """
    if gold is predicted:
        return True
    if comparison == "bird":
        return gold == predicted or set(gold) == set(predicted)
    if len(gold) != len(predicted):
        return False
    if comparison == "spider":
        return _same_for_spider(gold, predicted, ordered)
    if gold == predicted:
        return True
    first, second = [_cells(row) for row in gold], [_cells(row) for row in predicted]
    same = _near_lists if ordered else _same_multiset
    return same(first, second) or (columns == "free" and _some_column_order(first, second, same))


def as_run(sql: str, comparison: Comparison) -> str:
    """The query that a comparison runs: as written, but for `spider`."""
    return as_spider_runs(sql) if comparison == "spider" else sql


def same_answer(gold: str, expected: Sequence[Row], found: Sequence[Row], comparison: Comparison, columns: Columns = "fixed") -> bool:
    """Whether a prediction's rows answer a gold query; `same_result` where the gold says if order counts.

    Args:
        gold: The gold query as written.
        expected: Its rows; like `found` those of the query that `as_run` gives.
        found: The prediction's rows.
        comparison: See `same_result`.
        columns: See `same_result`.
    """
    if expected is found:
        return True
    ordered = spider_orders(gold) if comparison == "spider" else comparison == "strict" and is_ordered(gold)
    return same_result(expected, found, comparison, ordered, columns)


def as_spider_runs(sql: str) -> str:
    """The query as the test-suite evaluator runs it: every DISTINCT gone, split operators joined, the current year 2020.

    Its official defaults do this to gold and prediction alike, so that `SELECT DISTINCT a` equals `SELECT a` where no row
    repeats and differs where one does.
    """
    joined = sql.replace("> =", ">=").replace("< =", "<=").replace("! =", "!=")
    lower = joined.lower()
    if "distinct" in lower:
        joined = _without_distinct(joined)
    return _CURRENT_YEAR.sub("2020", joined) if "curdate" in lower else joined


def _without_distinct(sql: str) -> str:
    kept, before = [], ("", "")
    for token in tokens(sql):
        word = token.text.lower() if token.kind == "word" else ""
        # The evaluator tears IS DISTINCT FROM apart too, and then crashes if the query was the gold; here it stays.
        if word != "distinct" or before[0] == "is" or before == ("not", "is"):
            kept.append(token.text)
        if token.kind not in ("space", "comment"):
            before = (word, before[0])
    return "".join(kept)


def spider_orders(gold: str) -> bool:
    """Whether the test-suite evaluator lets the order of rows count: the gold says ORDER BY anywhere, even in a subquery or a string."""
    return "order by" in gold.lower()


@functools.lru_cache(maxsize=1024)  # a gold query is asked about for every prediction
def is_ordered(sql: str) -> bool:
    """Whether the outermost query has an ORDER BY.

    Every other ORDER BY stands in parentheses: of a subquery, a common table expression, a window or an aggregate.
    """
    if "order" not in sql.lower():
        return False
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


def _near_lists(first: Sequence[_Cells], second: Sequence[_Cells]) -> bool:
    return all(map(_near_rows, first, second))


def _some_column_order(gold: list[_Cells], predicted: list[_Cells], same: Callable[[list[_Cells], list[_Cells]], bool]) -> bool:
    """Whether `same` holds for some order of the predicted columns."""
    if not gold or len(gold[0]) != len(predicted[0]):
        return False
    wanted, offered = list(zip(*gold, strict=True)), list(zip(*predicted, strict=True))

    def fits(order: Sequence[int]) -> bool:
        mine = [wanted[i] for i in range(len(order))]
        return same(list(zip(*mine, strict=True)), list(zip(*(offered[i] for i in order), strict=True)))

    return _order_of(len(wanted), offered, fits)


def _order_of(n: int, offered: Sequence[tuple[_Cell, ...]], fits: Callable[[Sequence[int]], bool]) -> bool:
    """Whether columns can be chosen one by one such that each beginning fits; gives up after `_MOST_TRIES`."""
    tries = 0

    def extend(order: tuple[int, ...]) -> bool:
        nonlocal tries
        if len(order) == n:
            return True
        seen: list[tuple[_Cell, ...]] = []
        for i in range(n):
            if i in order or any(offered[i] is other or offered[i] == other for other in seen):
                continue  # columns with the same values stand for each other
            seen.append(offered[i])
            tries += 1
            if tries > _MOST_TRIES:
                return False
            if fits((*order, i)) and extend((*order, i)):
                return True
        return False

    return extend(())


def _same_for_spider(gold: Sequence[Row], predicted: Sequence[Row], ordered: bool) -> bool:
    if not gold:
        return True
    if len(gold[0]) != len(predicted[0]) or not _same_bags(gold, predicted, ordered):
        return False
    if gold == predicted:
        return True
    same = (lambda a, b: a == b) if ordered else (lambda a, b: Counter(a) == Counter(b))
    return same(list(gold), list(predicted)) or _some_column_order(list(gold), list(predicted), same)


def _same_bags(gold: Sequence[Row], predicted: Sequence[Row], ordered: bool) -> bool:
    """The evaluator's quick rejection: rows as bags of cells, sorted by their text and type.

    Where both results have the same types it rejects nothing that the column orders would not. Its one effect of its own is a
    quirk: 1 and 1.0 are equal, yet sort to different places beside another number.
    """
    kinds = {type(cell) for rows in (gold, predicted) for row in rows for cell in row}
    if not {int, float} <= kinds:
        return True
    first, second = [_bag(row) for row in gold], [_bag(row) for row in predicted]
    return first == second if ordered else set(first) == set(second)


def _bag(row: Row) -> Row:
    return tuple(sorted(row, key=lambda cell: str(cell) + str(type(cell))))


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
