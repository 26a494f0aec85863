"""From a database to training data: the stages behind `python -m t2s.prepare`."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.progress import Progress

from t2s.assembly import sandbox
from t2s.data.cleaning import Cleaned, CleaningRules, clean
from t2s.data.coverage import coverage
from t2s.data.drift import compare, fingerprints
from t2s.data.example import Example, plain
from t2s.data.imports import read_pairs
from t2s.data.leakage import shared_with
from t2s.data.parameters import bind
from t2s.data.query_log import LoggedQuery, read_query_log
from t2s.data.readers import jsonl_line
from t2s.data.reflect import copy_database
from t2s.data.split import split_by_shape
from t2s.data.synthesis import Coverage, Generated, Plan, Weights, synthesise
from t2s.errors import ConfigError, DataError
from t2s.handover import next_command, plain_values, without_password, write_settings
from t2s.places import URL, VERSIONS, Place
from t2s.report.preparation import preparation_summary, show_preparation, write_preparation_report
from t2s.runtime import sha256, short, write_json, write_text
from t2s.sql.dialect import dialect_names, from_dialect, round_trip
from t2s.sql.execute import Sandbox
from t2s.sql.parse import skeleton
from t2s.sql.schema import Schema
from t2s.sql.tables_json import write_tables_json
from t2s.stages import Done, Stage, StageRecord
from t2s.teaching import facts_of, subject_of, teacher_of

STAGES = ("build", "generate", "clean", "split")
_ENDING = re.compile(r"\.(sqlite3?|s?db3?|duckdb)$", re.IGNORECASE)
_LOGS = (".sql",)
_CASES_OF_LEAKAGE = 20


def prepare(cfg: DictConfig, console: Console) -> Path:
    """Runs the stages that are not done, and says what to type next.

    Args:
        cfg: As conf/prepare.yaml composes it.
        console: Shows progress.

    Returns:
        The directory with everything.
    """
    place = _place(cfg)
    console.print(f"preparing {place.name} in {short(place.directory)}", highlight=False, soft_wrap=True)
    record = StageRecord(place.directory / "prepared.json")
    wanted = STAGES if cfg.stage == "all" else STAGES[: STAGES.index(cfg.stage) + 1]
    with Progress(console=console, transient=True) as bar:
        worker = _Worker(cfg, place, bar)
        for name in wanted:
            done = record.do(worker.stage(name), bool(cfg.force) and (cfg.stage in ("all", name)))
            console.print(_line(name, done), highlight=False, soft_wrap=True)
    write_settings(cfg, place)
    if "split" in wanted:
        show_preparation(console, json.loads((place.directory / "report.json").read_text(encoding="utf-8")))
        console.print(f"report: {short(place.report)}\nnext:\n  {next_command(cfg, place)}", highlight=False, soft_wrap=True)
    return place.directory


def check_drift(cfg: DictConfig, console: Console) -> int:
    """Compares the live database with the one prepared.

    Returns:
        The exit code: 0 where nothing changed that matters, 2 where pairs or tables did.
    """
    place = _place(cfg)
    again = f"python -m t2s.prepare data.database={without_password(place.source)} name={place.name}"
    if not place.results.is_file():
        raise DataError(f"{short(place.directory)} holds nothing prepared; run {again} first")
    kept = json.loads(place.results.read_text(encoding="utf-8"))
    before = _schema_from_json(kept["schema"])
    live = place
    if place.remote:
        live = replace(place, directory=place.work / "live")
        copy_database(place.source, live.database, cfg.data.rows_per_table, cfg.seed, lambda line: None)
    examples = [example for name, file in place.splits.items() if name != VERSIONS[0] and file.is_file() for example in place.read(file)]
    with sandbox(cfg) as box:
        found = compare(before, live.schema, examples, kept["results"], live.database, box)
    for line in found.lines():
        console.print(line, highlight=False, soft_wrap=True, markup=False)
    changed = bool(found.schema or found.pairs)
    advice = f"regenerate with: {again}" if changed else "nothing to do"
    console.print(advice, highlight=False, soft_wrap=True)
    return 2 if changed else 0


def _place(cfg: DictConfig) -> Place:
    source = str(cfg.data.database)
    if not URL.match(source) and not Path(source).expanduser().is_file():
        raise DataError(f"data.database={source} does not exist; give a SQLite file, or a URL such as postgresql+psycopg://me@host/shop")
    dialects = ("sqlite", *dialect_names())
    if cfg.data.dialect not in dialects:
        raise ConfigError(f"data.dialect={cfg.data.dialect} is not a dialect; choose from {', '.join(dialects)}")
    if cfg.val + cfg.test > 0.8:
        raise ConfigError(f"val={cfg.val} and test={cfg.test} leave too little to train on; choose shares such as 0.1 and 0.1")
    if cfg.pairs == 0 and not cfg.imports:
        raise ConfigError("pairs=0 generates nothing and imports=[] brings none; set one of them")
    stem = _ENDING.sub("", source.rstrip("/").rpartition("/")[2].partition("?")[0])
    name = cfg.name or re.sub(r"\W+", "_", stem).strip("_").lower()
    if not re.fullmatch(r"[A-Za-z0-9_][\w-]*", name or ""):
        raise ConfigError(f"name={name} cannot name a directory and a data setting; choose letters, digits, _ and -")
    return Place(name, Path(cfg.output).expanduser().absolute() / name, source, cfg.data.infer_keys)


def _line(name: str, done: Done) -> str:
    facts = ", ".join(f"{value:,} {key}" if isinstance(value, int) else f"{key}: {value}" for key, value in done.facts.items())
    return f"{name}: {facts} ({'done before' if done.skipped else f'{done.seconds:.1f} s'})"


class _Worker:
    """The stages of one preparation."""

    def __init__(self, cfg: DictConfig, place: Place, bar: Progress) -> None:
        self._cfg, self._place, self._bar = cfg, place, bar

    def stage(self, name: str) -> Stage:
        depends, outputs = getattr(self, f"_{name}_needs")()
        return Stage(name, depends, outputs, getattr(self, f"_{name}"))

    @cached_property
    def _rows(self) -> str:
        """Of the database as it is now, behind `build`: other rows are other values and other answers, whatever the schema."""
        return sha256(self._place.database)

    # build: schema, and a copy where the database is elsewhere

    def _build_needs(self) -> tuple[dict[str, Any], tuple[Path, ...]]:
        place, data = self._place, OmegaConf.to_container(self._cfg.data)
        if place.remote:
            return {"data": data, "seed": self._cfg.seed}, (place.database, place.tables)
        return {"data": data, "database": sha256(place.database)}, (place.tables,)

    def _build(self) -> dict[str, Any]:
        place = self._place
        left_out: dict[str, Any] = {}
        if place.remote:
            task = self._bar.add_task("copying", total=None)
            copied = copy_database(
                place.source, place.database, self._cfg.data.rows_per_table, self._cfg.seed,
                lambda line: self._bar.update(task, description=f"copying {line}"),
            )  # fmt: skip
            self._bar.remove_task(task)
            left_out = {"left out": "; ".join(map(str, copied.left_out))} if copied.left_out else {}
        write_tables_json(place.tables, {place.key: place.schema})
        keys = place.schema.foreign_keys()
        return {
            "tables": len(place.schema.tables),
            "columns": sum(len(table.columns) for table in place.schema.tables),
            "foreign keys": len(keys),
            "of them guessed": sum(key.inferred for key in keys),
            **left_out,
        }

    # generate: v1_raw

    def _generate_needs(self) -> tuple[dict[str, Any], tuple[Path, ...]]:
        cfg = self._cfg
        teacher = {
            key: value for key, value in plain_values(cfg.teacher).items() if key not in ("api_key", "concurrency", "timeout_s", "tries")
        }
        return {
            "schema": sha256(self._place.tables),
            "database": self._rows,
            "settings": {key: plain_values(cfg[key]) for key in ("seed", "pairs", "questions_per_query", "synthesis")}
            | {"teacher": teacher},
            "imports": {str(file): sha256(Path(file).expanduser()) for file in _existing(cfg.imports)},
        }, (self._place.pairs(VERSIONS[0]),)

    def _generate(self) -> dict[str, Any]:
        cfg, place = self._cfg, self._place
        own, logged, skipped = self._imported()
        facts: dict[str, Any] = {}
        if skipped:
            facts["statements of logs left out"] = skipped
        with ExitStack() as stack:
            teacher = teacher_of(cfg, place.work, stack)
            made: list[Example] = []
            if cfg.pairs and teacher is None:
                made, facts["ended early"] = self._synthesised()
            elif cfg.pairs:
                made = self._taught(teacher, facts)
            if logged:
                made += self._phrased(teacher, logged, facts)
        pairs = [*own, *made]
        if not pairs:
            raise DataError(f"no pairs were made for {place.name}: {facts}; look at the database, or give imports")
        _write_pairs(place.pairs(VERSIONS[0]), pairs)
        return {"pairs": len(pairs), "imported": len(own), **{key: value for key, value in facts.items() if value}}

    def _imported(self) -> tuple[list[Example], list[LoggedQuery], int]:
        pairs: list[Example] = []
        queries: list[LoggedQuery] = []
        skipped = 0
        chooser = random.Random(self._cfg.seed)
        dialect = self._cfg.data.dialect
        for file in _existing(self._cfg.imports):
            if file.suffix in _LOGS:
                log = read_query_log(
                    file,
                    lambda sql: bind(sql, self._place.schema, self._sampled, chooser),
                    None if dialect == "sqlite" else lambda sql: from_dialect(sql, dialect, self._place.schema),
                )
                queries += log.queries
                skipped += len(log.skipped)
            else:
                pairs += [self._own(example, file, place) for place, example in enumerate(read_pairs(file, [self._place.key]))]
        return pairs, queries, skipped

    def _own(self, example: Example, file: Path, place: int) -> Example:
        dialect = self._cfg.data.dialect
        sql = example.sql if dialect == "sqlite" else from_dialect(example.sql, dialect, self._place.schema)
        return replace(example, sql=sql, tags=(*example.tags, "source:imported"), id=f"{file.name}.{place}")

    def _sampled(self, table: str, column: str) -> Sequence[str | int | float]:
        try:
            return next(c.samples for c in self._place.schema.table(table).columns if c.name.lower() == column.lower())
        except (KeyError, StopIteration):
            return ()

    def _synthesised(self) -> tuple[list[Example], str]:
        """Pairs from the grammar. Each is written down as it is made, so that a killed run goes on with the next."""
        cfg, place = self._cfg, self._place
        weights = Weights(**{key: dict(cfg.synthesis[key]) for key in ("forms", "tests", "hardness", "registers")})
        plan = Plan(
            cfg.pairs, cfg.seed, cfg.questions_per_query, cfg.synthesis.most_per_skeleton, cfg.synthesis.empty_share,
            cfg.synthesis.free_wording, weights,
        )  # fmt: skip
        file = place.work / f"synthesis-{self.stage('generate').fingerprint[:16]}.jsonl"
        finished = _finished(file)
        seen = Coverage()
        task = self._bar.add_task("generating", total=cfg.pairs, completed=len(finished))
        pairs = list(finished)
        file.parent.mkdir(parents=True, exist_ok=True)
        with _box(cfg) as box, file.open("a", encoding="utf-8") as kept:
            for pair in synthesise(place.database, place.schema, box, plan, seen, finished):
                kept.write(json.dumps(asdict(pair), ensure_ascii=False) + "\n")
                kept.flush()
                pairs.append(pair)
                self._bar.advance(task)
        self._bar.remove_task(task)
        return [_example(pair, place.key) for pair in pairs], seen.ended

    def _taught(self, teacher: Any, facts: dict[str, Any]) -> list[Example]:
        from t2s.data.teacher.generate import ask_for_pairs

        cfg = self._cfg
        requests = -(-cfg.pairs // cfg.teacher.pairs_per_request)
        task = self._bar.add_task(f"asking {cfg.teacher.model}", total=None)
        written = ask_for_pairs(
            teacher,
            subject_of(cfg, self._place.database, self._place.schema),
            requests,
            cfg.teacher.pairs_per_request,
            cfg.seed,
            cfg.teacher.tries,
        )
        self._bar.remove_task(task)
        facts |= {"that cannot be right": len(written.broken), **facts_of(teacher, written.failures)}
        return [_from_teacher(example) for example in written.examples]

    def _phrased(self, teacher: Any, queries: Sequence[LoggedQuery], facts: dict[str, Any]) -> list[Example]:
        """Questions for logged queries: a teacher's, else the comment that stands above one."""
        if teacher is None:
            commented = [query for query in queries if query.comment]
            facts["logged queries without a comment, left for a teacher"] = len(queries) - len(commented)
            return [Example(query.comment, query.sql, self._place.key, tags=("source:query log",), id=query.place) for query in commented]
        from t2s.data.teacher.generate import phrase_queries

        cfg = self._cfg
        written = phrase_queries(
            teacher, subject_of(cfg, self._place.database, self._place.schema), queries, cfg.teacher.wordings, cfg.seed, cfg.teacher.tries
        )
        facts |= {"logged queries": len(queries), **facts_of(teacher, written.failures)}
        return [_from_teacher(example) for example in written.examples]

    # clean: v2_cleaned

    def _clean_needs(self) -> tuple[dict[str, Any], tuple[Path, ...]]:
        cfg, place = self._cfg, self._place
        settings = {key: plain_values(cfg[key]) for key in ("cleaning", "timeout_s", "max_rows", "max_bytes", "max_memory_bytes")}
        review = {"review": cfg.teacher.review, "teacher": cfg.teacher.model, "dialect": cfg.data.dialect}
        return {"pairs": sha256(place.pairs(VERSIONS[0])), "database": self._rows, "settings": settings, **review}, (
            place.pairs(VERSIONS[1]), place.rejected, place.counts, place.results,
        )  # fmt: skip

    def _clean(self) -> dict[str, Any]:
        cfg, place = self._cfg, self._place
        raw = place.read(place.pairs(VERSIONS[0]))
        rules = CleaningRules(**{spec.name: cfg.cleaning[spec.name] for spec in fields(CleaningRules)})
        task = self._bar.add_task("cleaning", total=len(raw))
        with _box(cfg) as box:
            cleaned = clean(
                raw, {place.key: place.database}, {place.key: place.schema}, box, rules,
                report=lambda step, done, of: self._bar.update(task, description=f"cleaning: {step}", completed=done, total=of),
            )  # fmt: skip
            kept, lost = self._translatable(cleaned.kept)
            kept, disputed = self._reviewed(kept)
            results = fingerprints(kept, place.database, box)
        self._bar.remove_task(task)
        _write_pairs(place.pairs(VERSIONS[1]), kept)
        dropped = [*({"step": r.step, "reason": r.reason, **_shown(r.example)} for r in cleaned.rejected), *lost, *disputed]
        write_text(place.rejected, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in dropped))
        write_json(place.counts, _counts(cleaned, kept, lost, disputed))
        write_json(place.results, {"schema": _schema_to_json(place.schema), "results": results})
        return {"pairs": len(kept), "rejected": len(dropped), "changed": sum(step.changed for step in cleaned.steps)}

    def _translatable(self, examples: Sequence[Example]) -> tuple[list[Example], list[dict[str, str]]]:
        """Pairs whose query keeps its meaning in the dialect and back; the others with what went wrong."""
        dialect = self._cfg.data.dialect
        if dialect == "sqlite":
            return list(examples), []
        kept, lost = [], []
        for example in examples:
            try:
                round_trip(example.sql, dialect, self._place.schema)
                kept.append(example)
            except DataError as error:
                lost.append({"step": "dialect", "reason": str(error), **_shown(example)})
        return kept, lost

    def _reviewed(self, examples: Sequence[Example]) -> tuple[list[Example], list[dict[str, str]]]:
        cfg = self._cfg
        if not cfg.teacher.review:
            return list(examples), []
        from t2s.data.teacher.generate import Review, review

        with ExitStack() as stack:
            teacher = teacher_of(cfg, self._place.work, stack)
            assert teacher is not None, "offline refuses a review"
            opinions = review(teacher, subject_of(cfg, self._place.database, self._place.schema), examples, cfg.teacher.tries)
        kept, disputed = [], []
        for example, opinion in zip(examples, opinions, strict=True):
            if isinstance(opinion, Review) and not opinion.answers:
                disputed.append({"step": "review", "reason": opinion.reason, **_shown(example)})
            else:
                kept.append(example)
        return kept, disputed

    # split: train in both versions, val, test, and the report

    def _split_needs(self) -> tuple[dict[str, Any], tuple[Path, ...]]:
        cfg, place = self._cfg, self._place
        benchmarks = {str(file): sha256(file) for file in _existing(cfg.benchmarks)}
        made_of = {version: sha256(place.pairs(version)) for version in VERSIONS}
        settings = {key: cfg[key] for key in ("val", "test", "seed")}
        return {"pairs": made_of, "settings": settings, "benchmarks": benchmarks, "counts": sha256(place.counts)}, (
            *place.splits.values(), place.report, place.directory / "report.json",
        )  # fmt: skip

    def _split(self) -> dict[str, Any]:
        cfg, place = self._cfg, self._place
        cleaned = place.read(place.pairs(VERSIONS[1]))
        parts = split_by_shape(cleaned, {"train": 1 - cfg.val - cfg.test, "val": cfg.val, "test": cfg.test}, cfg.seed)
        held = [*parts["val"], *parts["test"]]
        # The raw version trains on what the cleaned one does not hold out: the same val and test judge both.
        raw = _without(place.read(place.pairs(VERSIONS[0])), held)
        for name, examples in {VERSIONS[0]: raw, VERSIONS[1]: parts["train"], "val": parts["val"], "test": parts["test"]}.items():
            _write_pairs(place.splits[name], examples)
        others = {Path(file).name: _benchmark(file) for file in cfg.benchmarks}
        leaks = {"train": shared_with(parts["train"], {"val": parts["val"], "test": parts["test"], **others}, _CASES_OF_LEAKAGE)}
        counts = json.loads(place.counts.read_text(encoding="utf-8"))
        found = coverage(cleaned, {place.key: place.schema})
        summary = preparation_summary(_cleaned_from(counts, cleaned, place), parts, leaks, found, cfg.seed)
        write_json(place.directory / "report.json", summary)
        write_preparation_report(place.report, place.name, summary)
        return {name: len(examples) for name, examples in parts.items()}


def _box(cfg: DictConfig) -> Sandbox:
    return Sandbox(cfg.timeout_s, cfg.max_rows, cfg.max_bytes, cfg.max_memory_bytes, workers=cfg.workers)


def _write_pairs(file: Path, examples: Iterable[Example]) -> None:
    write_text(file, "".join(jsonl_line(example) for example in examples))


def _finished(file: Path) -> list[Generated]:
    """Pairs that an earlier run wrote down; a last line that was cut off is dropped, from the file too."""
    if not file.is_file():
        return []
    whole = [line for line in file.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
    file.write_bytes(b"".join(whole))
    return [Generated(**json.loads(line)) for line in whole]


def _example(pair: Generated, database: str) -> Example:
    example = pair.example(database)
    return replace(example, tags=(*example.tags, f"register:{pair.register}", "source:synthesis"))


def _from_teacher(example: Example) -> Example:
    return replace(example, tags=(*example.tags, "source:teacher"))


def _without(pairs: Sequence[Example], held: Sequence[Example]) -> list[Example]:
    """Pairs that share neither a query shape nor a question with those held out; raw ones need not parse, and then have no shape."""
    questions, shapes = {plain(example.question) for example in held}, {_shape(example) for example in held}
    return [pair for pair in pairs if plain(pair.question) not in questions and _shape(pair) not in shapes]


def _shape(example: Example) -> str:
    try:
        return skeleton(example.sql)
    except DataError:
        return example.sql


def _existing(files: Iterable[str]) -> list[Path]:
    paths = [Path(file).expanduser() for file in files]
    if missing := [str(path) for path in paths if not path.is_file()]:
        raise DataError(f"{', '.join(missing)} does not exist; give files of pairs or query logs")
    return paths


def _shown(example: Example) -> dict[str, str]:
    return {"question": example.question, "sql": example.sql, "database": example.database}


def _counts(cleaned: Cleaned, kept: Sequence[Example], lost: Sequence[Any], disputed: Sequence[Any]) -> dict[str, Any]:
    return {
        "steps": [asdict(step) for step in cleaned.steps],
        "personal_data": cleaned.personal_data,
        "kept": len(kept),
        "lost_in_dialect": len(lost),
        "disputed": len(disputed),
    }


def _cleaned_from(counts: Mapping[str, Any], kept: list[Example], place: Place) -> Cleaned:
    from t2s.data.cleaning import Rejected, StepCount

    rows = [json.loads(line) for line in place.rejected.read_text(encoding="utf-8").splitlines()]
    rejected = [Rejected(Example(row["question"], row["sql"], row["database"]), row["step"], row["reason"]) for row in rows]
    return Cleaned(kept, rejected, [StepCount(**step) for step in counts["steps"]], counts["personal_data"])


def _benchmark(file: str) -> list[Example]:
    return read_pairs(Path(file).expanduser(), _AnyName())


class _AnyName:
    """A benchmark may be about whatever database."""

    def __contains__(self, name: object) -> bool:
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def _schema_to_json(schema: Schema) -> Any:
    return json.loads(json.dumps(asdict(schema)))


def _schema_from_json(value: Mapping[str, Any]) -> Schema:
    from t2s.sql.schema import Column, Table

    def column(row: Mapping[str, Any]) -> Column:
        return Column(**{**row, "references": tuple(row["references"]) if row["references"] else None, "samples": tuple(row["samples"])})

    return Schema(tuple(Table(t["name"], tuple(column(c) for c in t["columns"]), t["comment"]) for t in value["tables"]))
