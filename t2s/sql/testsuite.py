"""A few variants of a database on which queries that are nearly right give other rows than the right one.

On a single database a wrong query often gives the right rows by luck: no order was ever placed at midnight, no two
products cost the same. The idea is that of Zhong, Yu and Klein ("Semantic evaluation for text-to-SQL with distilled
test suites", 2020): take databases at random, and keep those that tell the gold queries from their neighbours.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlglot import exp

from t2s.errors import DataError
from t2s.runtime import sha256, write_text
from t2s.sql.compare import is_ordered, same_result
from t2s.sql.execute import Outcome, Sandbox
from t2s.sql.hints import read_hints
from t2s.sql.mutate import mutants
from t2s.sql.origin import is_one_query
from t2s.sql.parse import parse_query
from t2s.sql.schema import Schema, read_schema
from t2s.sql.source import Source, read_source
from t2s.sql.variants import STYLES, write_variant

FILE = "suite.json"
_VARIANTS = "variant_{}.sqlite"
VERSION = 1  # of suites: raise it when their file, the mutants, the variants or the choice change
# Other constants of a query come from a column's samples.
_SAMPLES = 20

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Survivor:
    """A mutant that gives the gold's rows on the original database."""

    query: int
    rule: str
    sql: str


@dataclass(frozen=True)
class Variant:
    """One database of a suite.

    Attributes:
        file: The SQLite file.
        style: What it is like; see `t2s.sql.variants.STYLES`.
        seed: What it was drawn with.
        rows: How many rows it has, all tables together.
        unsettled: Queries whose rows there hang on how ties are broken, counted from 0: it must not judge those.
    """

    file: Path
    style: str
    seed: int
    rows: int
    unsettled: frozenset[int]


@dataclass(frozen=True)
class Figures:
    """How well a suite tells right from nearly right.

    Attributes:
        mutants: Mutants that run on the original database.
        survive_one: Those that give the gold's rows there.
        survive_suite: Those that also do so on every variant of the suite.
        missed: Of these, told apart by probes: databases drawn the same way with seeds that the suite was not chosen from.
        equivalent: The others, told apart nowhere, and so probably the gold in other words.
        databases_tried: Variants the suite was chosen from.
        probes: Databases drawn only to tell `missed` from `equivalent`.
        by_rule: For each rule: how many run, survive one database, survive the suite, are missed.
    """

    mutants: int
    survive_one: int
    survive_suite: int
    missed: int
    equivalent: int
    databases_tried: int
    probes: int
    by_rule: dict[str, tuple[int, int, int, int]]

    @property
    def fallen(self) -> float:
        """Share of the survivors not equivalent that the suite tells apart, in [0, 1]."""
        different = self.survive_one - self.equivalent
        return (self.survive_one - self.survive_suite) / different if different else 1.0


@dataclass(frozen=True)
class Suite:
    """Variants of one database, and the queries they judge.

    Attributes:
        database: The original.
        database_sha256: Its hash when the suite was made.
        queries: The gold queries.
        skipped: Gold queries that do not run on the original, with the reason.
        variants: The databases, the most telling first.
        figures: How good it is.
        equivalent: The mutants that no database told apart.
        missed: The mutants that only a probe told apart.
    """

    database: Path
    database_sha256: str
    queries: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]
    variants: tuple[Variant, ...]
    figures: Figures
    equivalent: tuple[Survivor, ...]
    missed: tuple[Survivor, ...]

    def files(self, gold: str) -> tuple[Path, ...]:
        """The variants that may judge predictions for a gold query; none for a query the suite was not built with."""
        index = self.queries.index(gold) if gold in self.queries else None
        return tuple(variant.file for variant in self.variants if index is not None and index not in variant.unsettled)


def build_suite(
    database: Path,
    golds: Sequence[str],
    out_dir: Path,
    sandbox: Sandbox,
    *,
    variants: int = 36,
    probes: int = 24,
    seed: int = 0,
    progress: Progress | None = None,
) -> Suite:
    """Make variants of a database and keep the fewest that tell the gold queries from their mutants.

    A variant on which a gold query does not run is no candidate. Greedy set cover picks among the others; ties go to
    the one with fewer rows.

    Args:
        database: The original SQLite file.
        golds: Right queries on it; repeated ones count once.
        out_dir: Where the variants and `suite.json` go.
        sandbox: Where all queries run; the caller closes it. A mutant that does not end there is dropped.
        variants: How many databases to choose from.
        probes: How many more to draw for the figures.
        seed: The same seed gives the same suite.
        progress: Called with the step's name, how much of it is done, and how much there is.

    Raises:
        DataError: no query runs on the database.
        DatabaseError: the database is missing, or cannot be read or copied.
    """
    tell = progress or (lambda step, done, of: None)
    schema = read_schema(database, _SAMPLES)
    queries, skipped = _running(golds, database, sandbox)
    survivors, ran = _survivors(queries, database, schema, sandbox, tell)
    source = read_source(database, read_hints(queries, schema))
    out_dir.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=out_dir, prefix=".drawing-") as folder:
        draw = _Drawing(Path(folder), source, queries, sandbox, seed)
        tried = list(_counted(draw.databases(0, variants, survivors), "variants", variants, tell))
        chosen = _fewest([candidate for candidate in tried if candidate.variant is not None])
        for old in out_dir.glob(_VARIANTS.format("*")):
            old.unlink()
        kept = tuple(_keep(candidate, out_dir, place) for place, candidate in enumerate(chosen))
        left = sorted(set(range(len(survivors))) - {index for candidate in chosen for index in candidate.fallen})
        probed = _counted(draw.databases(variants, probes, [survivors[index] for index in left]), "probes", probes, tell)
        seen = {left[index] for candidate in probed for index in candidate.fallen}
    missed = tuple(survivors[index] for index in left if index in seen)
    equivalent = tuple(survivors[index] for index in left if index not in seen)
    figures = _figures(ran, survivors, missed, equivalent, variants, probes)
    suite = Suite(database.absolute(), sha256(database), tuple(queries), tuple(skipped), kept, figures, equivalent, missed)
    write_text(out_dir / FILE, _as_json(suite))
    return suite


def load_suite(out_dir: Path) -> Suite:
    """The suite that `build_suite` wrote.

    Raises:
        DataError: there is none, it was written by another version, or a variant is gone.
    """
    file = out_dir / FILE
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"no suite in {out_dir} ({error}); build one with scripts/build_suite.py") from error
    if known.get("version") != VERSION:
        raise DataError(f"{file} has version {known.get('version')}, not {VERSION}; build the suite anew")
    suite = _from_json(known, out_dir)
    gone = [str(variant.file) for variant in suite.variants if not variant.file.is_file()]
    if gone:
        raise DataError(f"{file} names databases that are gone: {', '.join(gone)}; build the suite anew")
    return suite


# Mutants on the original


def _running(golds: Sequence[str], database: Path, sandbox: Sandbox) -> tuple[list[str], list[tuple[str, str]]]:
    """Golds that run and parse, each once, and those that do not with the reason."""
    reasons = {gold: _trouble(gold, database, sandbox) for gold in golds}
    running = [gold for gold, reason in reasons.items() if not reason]
    if not running:
        raise DataError(f"none of {len(golds)} queries runs on {database}; give gold SQL that does")
    return running, [(gold, reason) for gold, reason in reasons.items() if reason]


def _trouble(gold: str, database: Path, sandbox: Sandbox) -> str:
    outcome = sandbox.execute(gold, database)
    if outcome.kind != "ok":
        return f"{outcome.kind}: {outcome.detail}"
    return "" if is_one_query(gold) else "cannot be parsed"


def _survivors(
    queries: Sequence[str], database: Path, schema: Schema, sandbox: Sandbox, tell: Progress
) -> tuple[list[Survivor], Counter[str]]:
    """The mutants that one database lets pass, and how many ran, by rule."""
    survivors: list[Survivor] = []
    ran: Counter[str] = Counter()
    for index, gold in enumerate(queries):
        expected = sandbox.execute(gold, database)
        for mutant in mutants(gold, schema):
            outcome = sandbox.execute(mutant.sql, database)
            if outcome.kind == "ok":
                ran[mutant.rule] += 1
                if not _told_apart(gold, expected, outcome):
                    survivors.append(Survivor(index, mutant.rule, mutant.sql))
        tell("mutants", index + 1, len(queries))
    return survivors, ran


def _told_apart(gold: str, expected: Outcome, outcome: Outcome) -> bool:
    return outcome.kind != "ok" or not same_result(expected.rows, outcome.rows, "strict", is_ordered(gold))


# Candidates


@dataclass(frozen=True)
class _Candidate:
    """A database that was drawn: None where a gold query fails on it; `fallen` counts the survivors it tells apart."""

    variant: Variant | None
    fallen: frozenset[int]


class _Drawing:
    """Draws databases and tries queries on them."""

    def __init__(self, folder: Path, source: Source, queries: Sequence[str], sandbox: Sandbox, seed: int) -> None:
        self._folder = folder
        self._source = source
        self._queries = queries
        self._sandbox = sandbox
        self._seed = seed

    def databases(self, first: int, count: int, survivors: Sequence[Survivor]) -> Iterator[_Candidate]:
        """Databases number `first` and on, all styles in turn."""
        for number in range(first, first + count):
            style, seed = STYLES[number % len(STYLES)], self._seed * 1_000_003 + number
            file = self._folder / f"{number:04}.sqlite"
            rows = write_variant(self._source, file, style, seed)
            variant, fallen = self._try(Variant(file, style.name, seed, rows, frozenset()), survivors)
            if variant is None:
                file.unlink()
            yield _Candidate(variant, fallen)

    def _try(self, variant: Variant, survivors: Sequence[Survivor]) -> tuple[Variant | None, frozenset[int]]:
        results = [self._sandbox.execute(gold, variant.file) for gold in self._queries]
        if any(outcome.kind != "ok" for outcome in results):
            return None, frozenset()
        pairs = zip(self._queries, results, strict=True)
        unsettled = frozenset(i for i, (gold, outcome) in enumerate(pairs) if not is_settled(gold, outcome, variant.file, self._sandbox))
        fallen = frozenset(
            index
            for index, mutant in enumerate(survivors)
            if mutant.query not in unsettled and self._falls(mutant, results[mutant.query], variant.file)
        )
        return replace(variant, unsettled=unsettled), fallen

    def _falls(self, mutant: Survivor, expected: Outcome, file: Path) -> bool:
        return _told_apart(self._queries[mutant.query], expected, self._sandbox.execute(mutant.sql, file))


def is_settled(gold: str, outcome: Outcome, file: Path, sandbox: Sandbox) -> bool:
    """Whether a query's rows follow from its SQL alone: not where ties in its order are broken by chance.

    Tried by breaking ties both ways: every ORDER BY that counts is followed by all columns, upwards and downwards.
    """
    ways = [with_ties_broken(gold, len(outcome.columns), descending) for descending in (False, True)]
    if ways[0] == ways[1]:
        return True
    broken = [sandbox.execute(way, file) for way in ways]
    # A query that cannot be rewritten so is taken as it is.
    return any(other.kind != "ok" for other in broken) or not any(_told_apart(gold, outcome, other) for other in broken)


def with_ties_broken(sql: str, width: int, descending: bool) -> str:
    """The query with each ORDER BY that decides over rows or their order followed by all columns shown there.

    Raises:
        DataError: this is not exactly one SQLite query.

    Example:
        "SELECT a, b FROM t ORDER BY b" upwards -> "SELECT a, b FROM t ORDER BY b, 1, 2"
    """
    tree = parse_query(sql)
    for query in list(tree.find_all(exp.Query)):
        counts = query.args.get("limit") or (query is tree and query.args.get("order"))
        columns = 0 if not counts else width if query is tree else _width(query)
        if columns:
            known = query.args["order"].expressions if query.args.get("order") else []
            more = [_by_place(place, descending) for place in range(1, columns + 1)]
            query.set("order", exp.Order(expressions=[*known, *more]))
    return tree.sql("sqlite", comments=False)


def _width(query: exp.Query) -> int:
    """How many columns a query shows; 0 where a star leaves it open."""
    return 0 if any(shown.is_star for shown in query.selects) else len(query.selects)


def _by_place(place: int, descending: bool) -> exp.Ordered:
    return exp.Ordered(this=exp.Literal.number(place), desc=descending or None, nulls_first=not descending)


# The choice


def _fewest(candidates: Sequence[_Candidate]) -> list[_Candidate]:
    """Candidates that together tell apart all that any of them does: greedy set cover."""
    chosen: list[_Candidate] = []
    left = frozenset[int]().union(*(candidate.fallen for candidate in candidates))
    while left:
        best = max(candidates, key=lambda candidate: (len(candidate.fallen & left), -candidate.variant.rows if candidate.variant else 0))
        chosen.append(best)
        left -= best.fallen
    return chosen


def _keep(candidate: _Candidate, out_dir: Path, place: int) -> Variant:
    assert candidate.variant is not None
    file = out_dir / _VARIANTS.format(f"{place:02}")
    os.replace(candidate.variant.file, file)
    return replace(candidate.variant, file=file)


def _counted(candidates: Iterator[_Candidate], step: str, count: int, tell: Progress) -> Iterator[_Candidate]:
    for done, candidate in enumerate(islice(candidates, count), 1):
        tell(step, done, count)
        yield candidate


def _figures(
    ran: Counter[str],
    survivors: Sequence[Survivor],
    missed: Sequence[Survivor],
    equivalent: Sequence[Survivor],
    variants: int,
    probes: int,
) -> Figures:
    one, lost, same = (Counter(survivor.rule for survivor in group) for group in (survivors, missed, equivalent))
    by_rule = {rule: (ran[rule], one[rule], lost[rule] + same[rule], lost[rule]) for rule in sorted(ran)}
    return Figures(ran.total(), len(survivors), len(missed) + len(equivalent), len(missed), len(equivalent), variants, probes, by_rule)


# The file


def _as_json(suite: Suite) -> str:
    known = asdict(suite) | {"version": VERSION, "database": str(suite.database)}
    for variant in known["variants"]:
        variant["file"] = variant["file"].name
        variant["unsettled"] = sorted(variant["unsettled"])
    return json.dumps(known, ensure_ascii=False, indent=1) + "\n"


def _from_json(known: dict[str, Any], out_dir: Path) -> Suite:
    by_rule = {rule: tuple(counts) for rule, counts in known["figures"]["by_rule"].items()}
    return Suite(
        database=Path(known["database"]),
        database_sha256=known["database_sha256"],
        queries=tuple(known["queries"]),
        skipped=tuple((gold, reason) for gold, reason in known["skipped"]),
        variants=tuple(
            Variant(**(variant | {"file": out_dir / variant["file"], "unsettled": frozenset(variant["unsettled"])}))
            for variant in known["variants"]
        ),
        figures=Figures(**(known["figures"] | {"by_rule": by_rule})),
        equivalent=tuple(Survivor(**survivor) for survivor in known["equivalent"]),
        missed=tuple(Survivor(**survivor) for survivor in known["missed"]),
    )
