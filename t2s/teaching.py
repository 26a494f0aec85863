"""The teacher that the settings of t2s.prepare choose, and what it is told of the database."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from t2s.data.prompt import SchemaStyle
from t2s.data.teacher.budget import Limits
from t2s.data.teacher.cache import ReplyCache
from t2s.data.teacher.protocol import Failure, Teacher
from t2s.data.teacher.subject import Disclosure, Subject, read_subject
from t2s.data.teacher.wire import Endpoint, Sampling
from t2s.errors import ConfigError
from t2s.sql.schema import Schema


def teacher_of(cfg: DictConfig, work: Path, stack: ExitStack) -> Teacher | None:
    """The teacher; None for the grammar.

    Args:
        cfg: As conf/prepare.yaml composes it.
        work: Keeps the answers.
        stack: Closes it.

    Raises:
        ConfigError: a setting is missing, and which environment variable could give it.
    """
    settings = cfg.teacher
    if settings.name == "offline":
        if settings.review:
            raise ConfigError("teacher.review=true needs a teacher; set teacher=openai or teacher=model")
        return None
    if not settings.model:
        raise ConfigError(f"teacher={settings.name} needs teacher.model=..., or T2S_TEACHER_MODEL in the environment")
    if settings.max_cost is not None and not (settings.prompt_price or settings.completion_price):
        raise ConfigError(f"teacher.max_cost={settings.max_cost} needs prices: teacher.prompt_price=... and teacher.completion_price=...")
    if settings.name == "openai" and not settings.base_url:
        raise ConfigError("teacher=openai needs teacher.base_url=..., or OPENAI_BASE_URL in the environment")
    cache = stack.enter_context(ReplyCache(work / "teacher.sqlite"))
    sampling = Sampling(settings.temperature, settings.max_completion_tokens, cfg.seed)
    if settings.name == "model":
        from t2s.data.teacher.gguf import GgufTeacher

        return stack.enter_context(GgufTeacher(Path(settings.model), sampling, settings.context_tokens, cfg.workers, cache))
    from t2s.data.teacher.client import HttpTeacher, Patience

    endpoint = Endpoint(settings.base_url, settings.model, api_key=settings.api_key or "")
    limits = Limits(settings.max_tokens, settings.max_cost, settings.prompt_price, settings.completion_price)
    patience = Patience(settings.timeout_s, settings.tries, first_wait_s=1.0, longest_wait_s=settings.timeout_s)
    return stack.enter_context(HttpTeacher(endpoint, sampling, patience, limits, settings.concurrency, cache))


def subject_of(cfg: DictConfig, database: Path, schema: Schema) -> Subject:
    """What the teacher may know."""
    settings = cfg.teacher
    withheld = set()
    for name in settings.withheld:
        table, dot, column = name.lower().rpartition(".")
        if not dot:
            raise ConfigError(f"teacher.withheld: {name} names no column; write table.column")
        withheld.add((table, column))
    disclosure = Disclosure(settings.values, withheld, settings.rows_per_table)
    style = SchemaStyle(types=True, keys=True, comments=True, samples=3)
    return read_subject(database, schema, style, disclosure, settings.notes, settings.max_schema_chars, cfg.seed)


def facts_of(teacher: Teacher, failures: Sequence[Failure]) -> dict[str, Any]:
    """What a teacher took, and what it did not give."""
    kinds: dict[str, int] = {}
    for failure in failures:
        kinds[f"requests that failed ({failure.kind})"] = kinds.get(f"requests that failed ({failure.kind})", 0) + 1
    spent = getattr(teacher, "spent", None)
    return {**kinds, **({} if spent is None else {"spent": str(spent)})}
