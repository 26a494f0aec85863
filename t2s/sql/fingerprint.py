"""A result in a few characters: enough to see later whether it changed."""

from __future__ import annotations

import hashlib
import math

from t2s.sql.execute import Outcome, Row, Value

# Digits of a fraction that count: sums in another order differ behind them.
_DIGITS = 9
_BITS = 96


def fingerprint(outcome: Outcome) -> str:
    """What a result comes down to, whatever the order of its rows.

    Equal results have equal fingerprints: the same rows as often, as `same_result` compares them by "strict". So 3 is 3.0 but not
    '3', and fractions count to nine digits, where `same_result` allows for one part in a million. Names of columns do not count.
    Different results have different ones but for one chance in 2^96.

    Returns:
        `<rows>x<columns>:<hash>`; for a statement that did not run, the kind of its outcome, without a colon.

    Example:
        one row with the number 3 -> "1x1:…"
    """
    if outcome.kind != "ok":
        return outcome.kind
    # A sum does not depend on the order, and unlike exclusive or it sees rows that repeat.
    total = sum(_hash(row) for row in outcome.rows) % (1 << _BITS)
    return f"{len(outcome.rows)}x{len(outcome.columns)}:{total:0{_BITS // 4}x}"


def ran(mark: str) -> bool:
    """Whether a fingerprint is of a statement that gave rows."""
    return ":" in mark


def _hash(row: Row) -> int:
    cells = (part for value in row for part in (_text(value).encode("utf-8", "surrogatepass"), b"\x00"))
    return int.from_bytes(hashlib.sha256(b"".join(cells)).digest()[: _BITS // 8], "big")


def _text(value: Value) -> str:
    if value is None:
        return "null"
    if isinstance(value, str):
        return f"text {len(value)} {value}"  # with its length no text can look like two
    if isinstance(value, bytes):
        return f"blob {value.hex()}"
    if isinstance(value, int) or not math.isfinite(value):
        return f"number {value}"
    return f"number {int(value)}" if value.is_integer() else f"number {value:.{_DIGITS}g}"
