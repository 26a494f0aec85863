"""Two databases that are awkward in the ways real ones are; the same bytes each time they are built.

The clinic has odd names, missing keys and strange values; the ERP has hundreds of tables with shortened names.
`CLINIC_KEYS` and `erp_keys` say which columns point where, declared or not.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

Row = tuple[Any, ...]
# (table, column, target table, target column)
Key = tuple[str, str, str, str]

_SEED = 11
_FIRST_DAY = date(2021, 1, 4)

_CLINIC = '''
CREATE TABLE avdelinger ( -- the clinic's wards
    avdelingsnr INTEGER PRIMARY KEY,
    navn TEXT NOT NULL UNIQUE,
    "åpnet år" INTEGER, -- year it opened
    "størrelse m²" REAL,
    stengt TEXT -- never filled in
);
CREATE TABLE "staff members" (
    "staff id" INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    "group" TEXT, -- nurse, doctor or porter
    boss INTEGER, -- the staff id of the one they report to
    avdelingsnr INTEGER NOT NULL,
    hired TEXT -- DD.MM.YYYY
);
CREATE TABLE "Patient Register" (
    PatientID INTEGER PRIMARY KEY,
    "full name" TEXT NOT NULL,
    sex TEXT CHECK (sex IN ('F', 'M', 'X')),
    born DATE, -- YYYY-MM-DD
    "referred by" TEXT,
    "e-mail" TEXT
);
CREATE TABLE admissions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    patient_id INT NOT NULL,
    avdelingsnr INTEGER REFERENCES avdelinger,
    "from" TEXT NOT NULL, -- DD.MM.YYYY
    "to" TEXT, -- DD.MM.YYYY, NULL while admitted
    "responsible staff id" INTEGER,
    diagnosis TEXT
);
CREATE TABLE "order" (
    "select" INTEGER PRIMARY KEY, -- number of the order
    patient INTEGER NOT NULL,
    "where" TEXT, -- which laboratory
    "when" INTEGER, -- seconds since 1970
    "100%" INTEGER -- whether it was urgent
);
CREATE TABLE lab_results (
    result_id INTEGER PRIMARY KEY,
    order_no INTEGER NOT NULL REFERENCES "order" ("select"),
    analyte TEXT NOT NULL,
    value REAL,
    factor REAL NOT NULL DEFAULT 1,
    si_value REAL GENERATED ALWAYS AS (value * factor) STORED, -- in SI units
    is_high INTEGER GENERATED ALWAYS AS (value > 100) VIRTUAL,
    remark -- numbers, words and nothing, mixed
);
CREATE TABLE beds (
    avdelingsnr INTEGER NOT NULL,
    bed TEXT NOT NULL,
    kind TEXT,
    PRIMARY KEY (avdelingsnr, bed)
) WITHOUT ROWID;
CREATE TABLE "bed stays" (
    avdelingsnr INTEGER NOT NULL,
    bed TEXT NOT NULL,
    admission_id INTEGER NOT NULL,
    nights INTEGER,
    PRIMARY KEY (avdelingsnr, bed, admission_id),
    FOREIGN KEY (avdelingsnr, bed) REFERENCES beds (avdelingsnr, bed)
) WITHOUT ROWID;
CREATE TABLE medicines (
    atc TEXT PRIMARY KEY, -- ATC code
    "name (generic)" TEXT NOT NULL,
    "price/unit" NUMERIC,
    leaflet BLOB
) WITHOUT ROWID;
CREATE TABLE prescriptions (
    admission_id INTEGER,
    atc TEXT,
    "dose mg" REAL,
    given DATETIME
);
CREATE TABLE "患者メモ" (
    "メモ番号" INTEGER PRIMARY KEY,
    "患者番号" INTEGER NOT NULL, -- PatientID
    "本文" TEXT,
    "作成日" TEXT -- YYYY-MM-DD
);
CREATE TABLE "Dr. ""Who""'s [notes]" (
    "it's" TEXT,
    "say ""hi""" TEXT,
    "semi;colon" INTEGER,
    "back`tick" REAL
);
CREATE TABLE scans (
    scan_id TEXT PRIMARY KEY,
    patient_id INTEGER,
    image BLOB,
    taken INTEGER -- seconds since 1970
);
CREATE TABLE "visits log" (PatientID INTEGER, day TEXT, door TEXT); -- no key, and rows repeat
CREATE TABLE archive_2019 (id INTEGER PRIMARY KEY, patient_id INTEGER, avdelingsnr INTEGER, "case" TEXT);
CREATE TABLE planned (id INTEGER PRIMARY KEY, patient_id INTEGER, room TEXT, surgeon TEXT);
CREATE TABLE settings (name TEXT, value);
CREATE INDEX admissions_patient ON admissions (patient_id);
CREATE INDEX patients_lower ON "Patient Register" (lower("full name"));
CREATE UNIQUE INDEX planned_room ON planned (room) WHERE room IS NOT NULL;
CREATE VIEW "current patients" AS
    SELECT p.PatientID, p."full name", a."from", d.navn AS avdeling
    FROM admissions a JOIN "Patient Register" p ON p.PatientID = a.patient_id JOIN avdelinger d USING (avdelingsnr)
    WHERE a."to" IS NULL;
CREATE VIEW "øversikt" AS SELECT avdeling, COUNT(*) AS "antall nå" FROM "current patients" GROUP BY avdeling;
CREATE TABLE gone (a INTEGER);
CREATE VIEW "broken view" AS SELECT a FROM gone;
DROP TABLE gone;
'''

CLINIC_KEYS: tuple[Key, ...] = (
    ("staff members", "boss", "staff members", "staff id"),
    ("staff members", "avdelingsnr", "avdelinger", "avdelingsnr"),
    ("admissions", "patient_id", "Patient Register", "PatientID"),
    ("admissions", "avdelingsnr", "avdelinger", "avdelingsnr"),
    ("admissions", "responsible staff id", "staff members", "staff id"),
    ("order", "patient", "Patient Register", "PatientID"),
    ("lab_results", "order_no", "order", "select"),
    ("beds", "avdelingsnr", "avdelinger", "avdelingsnr"),
    ("bed stays", "avdelingsnr", "beds", "avdelingsnr"),
    ("bed stays", "bed", "beds", "bed"),
    ("bed stays", "admission_id", "admissions", "id"),
    ("prescriptions", "admission_id", "admissions", "id"),
    ("prescriptions", "atc", "medicines", "atc"),
    ("患者メモ", "患者番号", "Patient Register", "PatientID"),
    ("scans", "patient_id", "Patient Register", "PatientID"),
    ("visits log", "PatientID", "Patient Register", "PatientID"),
    ("archive_2019", "patient_id", "Patient Register", "PatientID"),
    ("archive_2019", "avdelingsnr", "avdelinger", "avdelingsnr"),
    ("planned", "patient_id", "Patient Register", "PatientID"),
)

_WARDS = ("Kirurgi", "Øre-nese-hals", "Barneavdelingen", "内科", "Føde/barsel", "Intensiv")
_GIVEN = ("Åse", "Bjørn", "Chloë", "Dag", "Eirik", "Frøydis", "美咲", "健太", "O'Brian", 'Anna "Anni"', "Zoë", "Per-Olav")
_FAMILY = ("Ødegård", "Sæther", "Lie", "田中", "佐藤", "Müller", "d'Arcy", "Ng", "van der Berg", "Null")
_DIAGNOSES = ("fracture", "appendicitis", "pneumonia", "observation", "brudd i håndledd", "骨折", None)
_ANALYTES = ("glucose", "CRP", "Hb", "kreatinin", "% O₂")
_REMARKS = (None, 7, 3.5, "<5", "n/a", "007", "", "see note")
_MEMOS = ("痛みが続く", "次回は来週", "line one\nline two", "100% better; drop table?", "🙂", "")


def build_clinic(path: Path) -> Path:
    """Write the clinic's database to `path`, in place of what is there.

    Returns:
        The path.
    """
    draw = random.Random(_SEED)
    with closing(_fresh(path)) as connection:
        connection.executescript(_CLINIC)
        for table, rows in _clinic_rows(draw):
            _insert(connection, table, rows)
        # Bytes that are no UTF-8, as old programs left them.
        connection.execute("INSERT INTO settings VALUES ('legacy', CAST(x'416EE5' AS TEXT)), ('huge', 9007199254740993), ('inf', 9e999)")
        connection.commit()
    return path


def _clinic_rows(draw: random.Random) -> Iterator[tuple[str, Iterator[Row] | Sequence[Row]]]:
    patients, staff, admissions, orders = 240, 40, 600, 500
    wards = len(_WARDS)
    yield "avdelinger", [(10 * i, name, draw.choice((1978, 1999, 2014)), i * 120.5, None) for i, name in enumerate(_WARDS, 1)]
    yield "staff members", (_employee(draw, i) for i in range(1, staff + 1))
    yield "Patient Register", (_patient(draw, 5000 + i) for i in range(1, patients + 1))
    yield "admissions", (_admission(draw, i, patients, staff) for i in range(1, admissions + 1))
    yield (
        "order",
        [
            (70_000 + i, 5001 + draw.randrange(patients), draw.choice(("north", "south", "外部")), _seconds(draw), draw.randrange(2))
            for i in range(orders)
        ],
    )
    yield "lab_results (result_id, order_no, analyte, value, factor, remark)", (_result(draw, i, orders) for i in range(1, 1501))
    beds = [(10 * ward, f"{ward}-{bed}", draw.choice(("std", "ICU", None))) for ward in range(1, wards + 1) for bed in range(1, 9)]
    yield "beds", beds
    yield "bed stays", [(*draw.choice(beds)[:2], i, draw.randrange(1, 9)) for i in range(1, 400)]
    atc = [f"{draw.choice('ABCJN')}{i:02d}AX{i % 7:02d}" for i in range(30)]
    yield "medicines", [(code, f"stoff nr. {i}", round(1.5 * i, 2), bytes([i, 0, 255]) * 9) for i, code in enumerate(atc)]
    yield (
        "prescriptions",
        [(1 + draw.randrange(admissions), draw.choice(atc), 12.5 * draw.randrange(40), _moment(draw)) for _ in range(700)],
    )
    yield "患者メモ", [(i, 5001 + draw.randrange(patients), draw.choice(_MEMOS), _day(draw).isoformat()) for i in range(1, 90)]
    yield 'Dr. "Who"\'s [notes]', [(f"it's {i}", 'he said "hi"', i, i / 4) for i in range(12)]
    yield "scans", [(f"S{i:05d}", 5001 + draw.randrange(patients), draw.randbytes(64), _seconds(draw)) for i in range(60)]
    yield "visits log", [(5001 + draw.randrange(25), _day(draw).strftime("%d/%m/%Y"), draw.choice("AB")) for _ in range(300)] * 2
    yield "planned", [(i, None, None, draw.choice(("Lie", "Ng"))) for i in range(1, 8)]
    yield "settings", [("currency", "NOK"), ("opens", 7), ("tax", 0.25), ("logo", b"\x89PNG\r\n"), ("motto", None)]


def _employee(draw: random.Random, number: int) -> Row:
    boss = None if number <= 3 else 100 + draw.randrange(1, number)
    kind = draw.choice(("nurse", "nurse", "doctor", "porter"))
    return 100 + number, _person(draw), kind, boss, 10 * draw.randrange(1, len(_WARDS) + 1), _day(draw).strftime("%d.%m.%Y")


def _patient(draw: random.Random, number: int) -> Row:
    born = date(1930, 1, 1) + timedelta(days=draw.randrange(33_000))
    mail = f"p{number}@example.org" if draw.random() < 0.6 else None
    return number, _person(draw), draw.choice("FFFMMMX"), born.isoformat(), draw.choice(("GP", "self", None)), mail


def _admission(draw: random.Random, number: int, patients: int, staff: int) -> Row:
    start = _day(draw)
    end = (start + timedelta(days=draw.randrange(1, 20))).strftime("%d.%m.%Y") if draw.random() < 0.9 else None
    ward = 10 * draw.randrange(1, len(_WARDS) + 1)
    doctor = 101 + draw.randrange(staff)
    return number, 5001 + draw.randrange(patients), ward, start.strftime("%d.%m.%Y"), end, doctor, draw.choice(_DIAGNOSES)


def _result(draw: random.Random, number: int, orders: int) -> Row:
    value = None if draw.random() < 0.05 else round(draw.uniform(1, 180), 1)
    return number, 70_000 + draw.randrange(orders), draw.choice(_ANALYTES), value, draw.choice((1, 0.1, 18.0)), draw.choice(_REMARKS)


def _person(draw: random.Random) -> str:
    return f"{draw.choice(_GIVEN)} {draw.choice(_FAMILY)}"


def _day(draw: random.Random) -> date:
    return _FIRST_DAY + timedelta(days=draw.randrange(1000))


def _moment(draw: random.Random) -> str:
    return f"{_day(draw).isoformat()} {draw.randrange(24):02d}:{draw.randrange(60):02d}:00"


def _seconds(draw: random.Random) -> int:
    day = _day(draw)
    return int(datetime(day.year, day.month, day.day, draw.randrange(24), tzinfo=UTC).timestamp())


# Module, entity and its key: how the tables of the ERP come by their names.
_MODULES = ("SD", "MM", "FI", "HR", "PP", "QM", "PM", "WM")
_ENTITIES = (
    *("CUST", "VEND", "MAT", "PLNT", "SLS_ORG", "ACCT", "CC", "EMP", "WRK_CTR", "EQP", "PRJ", "CONTR"),
    *("BATCH", "ROUT", "BOM", "ASSET", "TAX", "BANK", "STO_LOC", "PRC_LST", "DLV", "INV", "PO", "SO", "QTN", "INSP"),
)
_KINDS = ("MST", "HDR", "ITM", "TXT", "STAT", "CFG", "HIST", "MAP", "ATTR", "LOG")
_PLAIN = (
    *(("CRT_DT", "TEXT"), ("CRT_BY", "VARCHAR(12)"), ("CHG_DT", "TEXT"), ("STS_CD", "CHAR(2)"), ("CURR_CD", "CHAR(3)")),
    *(("AMT", "DECIMAL(13,2)"), ("QTY", "REAL"), ("UOM_CD", "CHAR(3)"), ("DEL_FLG", "CHAR(1)"), ("LANG_CD", "CHAR(2)")),
    *(("REM_TXT", "TEXT"), ("VLD_FR_DT", "TEXT"), ("VLD_TO_DT", "TEXT"), ("PRIO_NO", "INTEGER"), ("VER_NO", "INTEGER")),
)


_CODES = {"STS_CD": ("10", "20", "90"), "CURR_CD": ("EUR", "NOK"), "UOM_CD": ("EA", "KG"), "LANG_CD": ("EN", "NO")}


@dataclass(frozen=True)
class _ErpTable:
    """A table's name, its key, the columns that point elsewhere and those that do not; `place` counts tables from 0."""

    place: int
    name: str
    key: str
    keys_are_text: bool
    points: tuple[tuple[str, int], ...]
    plain: tuple[tuple[str, str], ...]
    declares: bool


def build_erp(path: Path, tables: int) -> Path:
    """Write an ERP's database with so many tables to `path`, in place of what is there.

    Args:
        path: The SQLite file.
        tables: How many tables; names repeat no sooner than after 2080.

    Returns:
        The path.
    """
    plan = _erp_plan(tables)
    draw = random.Random(_SEED)
    with closing(_fresh(path)) as connection:
        for table in plan:
            connection.execute(_erp_create(table, plan))
            _insert(connection, table.name, [_erp_row(draw, table, row, plan) for row in range(_erp_rows(table))])
        connection.commit()
    return path


def erp_keys(tables: int) -> tuple[Key, ...]:
    """Which columns of `build_erp(path, tables)` point where, declared or not."""
    plan = _erp_plan(tables)
    return tuple((table.name, column, plan[place].name, plan[place].key) for table in plan for column, place in table.points)


def _erp_plan(tables: int) -> list[_ErpTable]:
    draw = random.Random(_SEED)
    plan: list[_ErpTable] = []
    entities = len(_ENTITIES)
    for place in range(tables):
        entity, kind = _ENTITIES[place % entities], _KINDS[place // entities % len(_KINDS)]
        module = _MODULES[(place % entities + place // (entities * len(_KINDS))) % len(_MODULES)]
        master = place < entities  # the first kind of each: the table that all others of its entity point to
        key = f"{entity}_{'NO' if place % 3 == 0 else 'ID'}" if master else f"{entity}_{kind}_ID"
        points = [] if master else [(plan[place % entities].key, place % entities)]
        others = sorted(draw.sample(range(min(place, entities)), k=min(place, entities, draw.randrange(4))))
        points += [(plan[other].key, other) for other in others if plan[other].key not in {key, *(c for c, _ in points)}]
        plain = sorted(draw.sample(range(len(_PLAIN)), k=draw.randrange(5, len(_PLAIN))))
        columns = tuple(_PLAIN[i] for i in plain)
        plan.append(_ErpTable(place, f"{module}_{entity}_{kind}", key, place % 4 == 1, tuple(points), columns, place % 11 == 5))
    return plan


def _erp_rows(table: _ErpTable) -> int:
    return 0 if table.place % 17 == 16 else 3 + table.place % 8


def _erp_create(table: _ErpTable, plan: Sequence[_ErpTable]) -> str:
    columns = [f"{table.key} {_key_type(table)} PRIMARY KEY"]
    for column, place in table.points:
        declared = f" REFERENCES {plan[place].name} ({plan[place].key})" if table.declares else ""
        columns.append(f"{column} {_key_type(plan[place])}{declared}")
    columns += [f"{name} {kind}" for name, kind in table.plain]
    return f"CREATE TABLE {table.name} ({', '.join(columns)})"


def _key_type(table: _ErpTable) -> str:
    return "VARCHAR(10)" if table.keys_are_text else "INTEGER"


def _erp_key(table: _ErpTable, row: int) -> int | str:
    """Every other table counts from 1, as so many do; the rest have a range of their own."""
    number = row + 1 if table.place % 2 else 1000 * (table.place + 1) + row
    return f"{table.name[:2]}{number:06d}" if table.keys_are_text else number


def _erp_row(draw: random.Random, table: _ErpTable, row: int, plan: Sequence[_ErpTable]) -> Row:
    points = [_erp_target(draw, plan[place]) for _, place in table.points]
    return (_erp_key(table, row), *points, *(_erp_value(draw, name) for name, _ in table.plain))


def _erp_target(draw: random.Random, target: _ErpTable) -> int | str | None:
    rows = _erp_rows(target)
    return _erp_key(target, draw.randrange(rows)) if rows and draw.random() < 0.9 else None


def _erp_value(draw: random.Random, column: str) -> Any:
    if column == "DEL_FLG":
        return None  # never used, as in most installations
    ending = column.rpartition("_")[2]
    if ending in ("CD", "BY"):
        return draw.choice(_CODES.get(column, ("JDOE", "AMAY")))
    if ending == "DT":
        return _day(draw).strftime("%Y%m%d")
    if ending == "NO":
        return draw.randrange(1, 4)
    return f"remark {draw.randrange(90)}" if ending == "TXT" else round(draw.uniform(1, 900), 2)


def _fresh(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    return sqlite3.connect(path)


def _insert(connection: sqlite3.Connection, table: str, rows: Iterator[Row] | Sequence[Row]) -> None:
    """Insert rows; `table` may name its columns behind it in parentheses."""
    rows = list(rows)
    if not rows:
        return
    name, _, columns = table.partition(" (") if table.endswith(")") else (table, "", "")
    quoted = '"' + name.replace('"', '""') + '"' + (f" ({columns}" if columns else "")
    connection.executemany(f"INSERT INTO {quoted} VALUES ({', '.join('?' * len(rows[0]))})", rows)
