"""SQL as SQLite cuts it into tokens: just enough to see quotes, comments and parentheses.

This never fails: it is used on text that may not be SQL at all.
"""

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

TokenKind = Literal["space", "comment", "quoted", "word", "symbol"]

# An unclosed quote or block comment runs to the end of the text, as it does in SQLite.
# SQLite takes a byte order mark for white space, and every other character past ASCII for part of a word.
_TOKEN = re.compile(
    r"""
      (?P<space>   [ \t\n\f\r\ufeff]+ )
    | (?P<comment> --[^\n]* | /\*.*?(?:\*/|\Z) )
    | (?P<quoted>  '[^']*(?:''[^']*)*(?:'|\Z) | "[^"]*(?:""[^"]*)*(?:"|\Z) | `[^`]*(?:``[^`]*)*(?:`|\Z) | \[[^\]]*\]? )
    | (?P<word>    [\w$\u0080-\U0010ffff]+ )
    | (?P<symbol>  . )
    """,
    re.VERBOSE | re.DOTALL,
)


class Token(NamedTuple):
    """One token: its kind, its text as written, and where it starts in the SQL, in characters."""

    kind: TokenKind
    text: str
    start: int


def tokens(sql: str) -> Iterator[Token]:
    """All tokens in order; their texts joined give `sql` back."""
    for match in _TOKEN.finditer(sql):
        kind: TokenKind = match.lastgroup  # type: ignore[assignment]  # the group names are the kinds
        yield Token(kind, match.group(), match.start())


def code_tokens(sql: str) -> Iterator[Token]:
    """The tokens without white space and comments."""
    return (token for token in tokens(sql) if token.kind not in ("space", "comment"))


def first_statement(sql: str) -> tuple[str, bool]:
    """The text before the first `;` that ends a statement.

    Args:
        sql: Any text.

    Returns:
        That text, stripped, and whether more code follows the `;` (further `;` and comments are no code).

    Example:
        "SELECT ';' ; -- done" -> ("SELECT ';'", False)
    """
    code = list(code_tokens(sql))
    end = next((token.start for token in code if token.text == ";"), len(sql))
    more = any(token.start > end and token.text != ";" for token in code)
    return sql[:end].strip(), more


def unquote(identifier: str) -> str:
    """The name an identifier stands for: "a b", `a b`, [a b] and 'a b' all name `a b`."""
    quote = identifier[:1]
    if quote == "[":
        return identifier[1:].removesuffix("]")
    if quote in ("'", '"', "`"):
        return identifier[1:].removesuffix(quote).replace(quote * 2, quote)
    return identifier
