"""Cleaning: named steps in a fixed order, each of which keeps, changes or refuses pairs and says how many and why."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from t2s.data.cleaning import reading, repeats, running
from t2s.data.cleaning.agreement import KnownValue, siblings_of
from t2s.data.cleaning.pair import Cleaned, CleaningRules, Pair, Rejected, Room, Step, StepCount, Verdict
from t2s.data.example import Example
from t2s.data.pii import Finder, find_pii
from t2s.errors import ConfigError
from t2s.sql.execute import Sandbox
from t2s.sql.schema import Schema

__all__ = ["STEPS", "Cleaned", "CleaningRules", "KnownValue", "Rejected", "StepCount", "clean"]

# (step, pairs seen, of how many)
Report = Callable[[str, int, int], None]

# Cheap steps first; whatever needs rows comes behind the step that runs, whatever counts pairs behind what may change them.
STEPS: tuple[Step, ...] = (
    Step("text", "question and SQL are there, and are text that UTF-8 can hold", reading.check_text),
    Step("database", "the database is known", reading.check_database),
    Step("length", "question and SQL are no longer than allowed", reading.check_length),
    Step("parses", "the SQL is one SELECT, perhaps behind WITH, and writes nothing", reading.check_parses),
    Step("wording", "the question has words, and is no leftover form, line noise or SQL", reading.check_wording),
    Step("toxic", "no bad words in question or values", reading.check_toxic, lambda r: r.refuse_toxic),
    Step("personal data", "mail, phone, card, bank and national numbers", reading.check_personal, lambda r: r.personal_data != "off"),
    Step("duplicates", "the first of pairs with one question and one query", repeats.drop_duplicates),
    Step("runs", "the query ends within its limits, without an error", running.check_runs),
    Step("empty", "the query returns something, or the pair is tagged empty", running.check_empty),
    Step("clock", "the answer depends on neither clock nor chance", running.check_clock),
    Step("luck", "the same rows read backwards; no tie at the cut of a LIMIT", running.check_luck, lambda r: r.check_luck),
    Step("style", "queries in one style, where the rows stay the same", running.restyle, lambda r: r.one_style),
    Step("agreement", "question and query speak of the same values", reading.check_agreement, lambda r: r.check_agreement),
    Step("contradictions", "no question with several answers; that of more than half stays", repeats.drop_contradictions),
    Step("near duplicates", "the first of nearly the same questions for one query", repeats.drop_near_duplicates,
         lambda r: r.near_duplicate_likeness is not None),
    Step("wordings", "only so many pairs that differ in nothing but values", repeats.cap_wordings, lambda r: r.max_per_wording is not None),
    Step("shapes", "only so many pairs of one query shape", repeats.cap_skeletons, lambda r: r.max_per_skeleton is not None),
)  # fmt: skip


def clean(
    examples: Iterable[Example],
    databases: Mapping[str, Path],
    schemas: Mapping[str, Schema],
    sandbox: Sandbox,
    rules: CleaningRules,
    *,
    known: KnownValue | None = None,
    finder: Finder = find_pii,
    report: Report | None = None,
) -> Cleaned:
    """Cleans pairs.

    Args:
        examples: The pairs, any of which may be bad.
        databases: SQLite file by database name.
        schemas: Schema by database name, with samples: they tell which categories exclude each other, and the canonical style.
        sandbox: Runs the queries; what it does not finish is refused.
        rules: What to clean.
        known: Whether a database holds a text, as an index of values knows; None goes without.
        finder: Finds personal data in a text.
        report: Called as pairs pass a step.

    Returns:
        What is kept, in order; what is not, with step and reason; and the counts of each step. The same for the same input.

    Raises:
        ConfigError: a rule is out of range.
        DatabaseError: a database is missing or cannot be read.
    """
    _check(rules)
    siblings = {name: siblings_of(schema) for name, schema in schemas.items()}
    room = Room(databases, schemas, sandbox, rules, siblings, known, finder)
    pairs, rejected, steps = [Pair(example) for example in examples], [], []
    for step in STEPS:
        if step.wanted(rules):
            pairs, dropped, count = _run(step, pairs, room, report)
            rejected += dropped
            steps.append(count)
    return Cleaned([pair.example for pair in pairs], rejected, steps, dict(sorted(room.personal_data.items())))


def _run(step: Step, pairs: Sequence[Pair], room: Room, report: Report | None) -> tuple[list[Pair], list[Rejected], StepCount]:
    kept: list[Pair] = []
    rejected: list[Rejected] = []
    changed = 0
    for pair, verdict in zip(pairs, _reported(step, pairs, room, report), strict=True):
        if isinstance(verdict, str):
            rejected.append(Rejected(pair.example, step.name, verdict))
        else:
            kept.append(pair if verdict is None else pair.changed(verdict))
            changed += verdict is not None
    return kept, rejected, StepCount(step.name, step.description, len(pairs), len(rejected), changed)


def _reported(step: Step, pairs: Sequence[Pair], room: Room, report: Report | None) -> Iterator[Verdict]:
    for done, verdict in enumerate(step.run(pairs, room), 1):
        yield verdict
        if report is not None:
            report(step.name, done, len(pairs))


def _check(rules: CleaningRules) -> None:
    likeness = rules.near_duplicate_likeness
    if likeness is not None and not 0 < likeness <= 1:
        raise ConfigError(f"near_duplicate_likeness={likeness} is out of range; choose a share above 0 and up to 1, or null")
    for name in ("min_question_words", "max_question_chars", "max_sql_chars", "max_per_skeleton", "max_per_wording"):
        value = getattr(rules, name)
        if value is not None and value < 1:
            raise ConfigError(f"{name}={value} is out of range; choose a whole number >= 1" + (", or null" if "per" in name else ""))
    if rules.personal_data not in ("off", "report", "mask", "refuse"):
        raise ConfigError(f"personal_data={rules.personal_data!r} is not a choice; choose off, report, mask or refuse")
