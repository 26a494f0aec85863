"""Reads hostile.sql, and builds the database it attacks."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parents[1] / "fixtures" / "sql"
STAND_INS = {"{NUL}": "\0", "{SURROGATE}": "\ud800"}


class Attack(NamedTuple):
    """One statement of hostile.sql and the kinds of verdict it may end in."""

    group: str
    title: str
    sql: str
    kinds: set[str]


def attacks() -> list[Attack]:
    blocks = (FOLDER / "hostile.sql").read_text(encoding="utf-8").strip().split("\n\n")[1:]
    return [_attack(block) for block in blocks]


def build(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((FOLDER / "hostile_database.sql").read_text(encoding="utf-8"))


def _attack(block: str) -> Attack:
    head, _, body = block.strip().partition("\n")
    group, _, title = head.removeprefix("-- ").partition(": ")
    statement, kinds = body.removesuffix(";").rsplit(";\n", 1)
    for name, text in STAND_INS.items():
        statement = statement.replace(name, text)
    return Attack(group, title, re.sub(r"\{(.+?) \* (\d+)\}", lambda match: match[1] * int(match[2]), statement), set(kinds.split()))
