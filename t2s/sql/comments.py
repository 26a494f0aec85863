"""The comments inside a CREATE TABLE statement, each given to the column it speaks of."""

from dataclasses import dataclass, field

from t2s.sql.lexer import Token, tokens, unquote

_CONSTRAINTS = frozenset({"CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"})


@dataclass(frozen=True)
class TableComments:
    """What the comments of one CREATE TABLE say.

    Attributes:
        table: The comment before or right behind the opening parenthesis, if any.
        columns: Comment by lower-case column name.
    """

    table: str | None
    columns: dict[str, str]


def table_comments(create_sql: str) -> TableComments:
    """Comments of a CREATE TABLE statement.

    A comment behind a column belongs to it, before or after the comma, up to the end of the line; further lines
    that start below such a comment go on with it. A comment on a line of its own belongs to the next column.

    Args:
        create_sql: The statement as SQLite stores it in `sqlite_master.sql`.

    Returns:
        The comments, without their marks and with white space folded.

    Example:
        "CREATE TABLE t (a INT, -- metres\\n b INT)" -> columns {"a": "metres"}
    """
    reader = _Reader(create_sql)
    for token in tokens(create_sql):
        reader.take(token)
    named = {name: " ".join(texts) for name, texts in reader.found.items() if name}
    return TableComments(" ".join(reader.found.get("", ())) or None, named)


@dataclass
class _Reader:
    """Walks over the tokens once. The table itself goes by the name ""; no column can have it by then."""

    sql: str
    found: dict[str, list[str]] = field(default_factory=dict)
    depth: int = 0
    finished: bool = False
    starting: bool = False  # the next name opens a column or a constraint
    item: str | None = None  # the column being defined; None in a constraint
    owner: str | None = ""  # whose line this is; None on a line of no column
    trailing: tuple[int, str] | None = None  # indent and owner of the trailing comment on the line above
    waiting: list[str] = field(default_factory=list)  # comments on lines of their own

    def take(self, token: Token) -> None:
        if self.finished:
            return
        if token.kind == "space":
            if "\n" in token.text:
                self._end_line()
        elif token.kind == "comment":
            self._comment(token)
        else:
            self._code(token)

    def _end_line(self) -> None:
        self.owner = None if self.depth else ""

    def _code(self, token: Token) -> None:
        self.trailing = None
        if self.starting and token.kind in ("word", "quoted"):
            self._start_item(token)
        elif token.text == "(":
            self.depth += 1
            self.starting = self.depth == 1
        elif token.text == ")":
            self.depth -= 1
            self.finished = self.depth == 0
        elif token.text == "," and self.depth == 1:
            self.starting = True
        if not self.starting:
            self.owner = self.item if self.depth else ""

    def _start_item(self, token: Token) -> None:
        self.starting = False
        constraint = token.kind == "word" and token.text.upper() in _CONSTRAINTS
        self.item = None if constraint else unquote(token.text).lower()
        if self.item is not None and self.waiting:
            self.found.setdefault(self.item, []).extend(self.waiting)
        self.waiting = []

    def _comment(self, token: Token) -> None:
        text = _text(token.text)
        indent = token.start - (self.sql.rfind("\n", 0, token.start) + 1)
        if not text:
            return
        if self.owner is None and self.trailing is not None and indent == self.trailing[0]:
            self.found[self.trailing[1]].append(text)
        elif self.owner is not None and not (self.starting and self._code_follows(token)):
            self.found.setdefault(self.owner, []).append(text)
            self.trailing = (indent, self.owner)
        else:
            self.waiting.append(text)

    def _code_follows(self, token: Token) -> bool:
        """Whether the comment's line goes on with code: then `a INT, /* x */ b INT` speaks of b."""
        rest = self.sql[token.start + len(token.text) :].split("\n", 1)[0].strip()
        return bool(rest) and not rest.startswith("--")


def _text(comment: str) -> str:
    """The words of a comment: marks, the stars of a block's lines and extra white space go."""
    if comment.startswith("--"):
        return " ".join(comment.lstrip("-").split())
    lines = comment.removeprefix("/*").removesuffix("*/").splitlines()
    return " ".join(" ".join(line.strip().strip("*") for line in lines).split())
