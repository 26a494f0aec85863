"""A JSON file read entry by entry holds what the whole file holds."""

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from t2s.data import json_stream
from t2s.data.json_stream import entries, read_entries
from t2s.errors import DataError

# A number that its reader knows to be whole only at the next character is where chunks cut badly.
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
SAME_FIXTURES = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)


@SAME_FIXTURES
@given(
    document=st.lists(VALUES) | st.dictionaries(st.text(), VALUES),
    chunk=st.integers(1, 40),
    indent=st.sampled_from([None, 1]),
    ascii_only=st.booleans(),
)
def test_entries_are_those_of_the_whole_document_wherever_chunks_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, document: Any, chunk: int, indent: int | None, ascii_only: bool
) -> None:
    file = tmp_path / "document.json"
    file.write_text(f" {json.dumps(document, indent=indent, ensure_ascii=ascii_only)} \n", encoding="utf-8", newline="\r\n")
    monkeypatch.setattr(json_stream, "_CHUNK_CHARS", chunk)
    pairs = list(entries(file))
    assert pairs == (list(enumerate(document)) if isinstance(document, list) else list(document.items()))


def test_a_large_file_is_not_held_whole(tmp_path: Path) -> None:
    file = tmp_path / "large.json"
    with file.open("w") as stream:
        stream.write("[" + ",\n".join(json.dumps({"question": f"q{i}", "toks": ["x"] * 100}) for i in range(8_000)) + "]")
    tracemalloc.start()
    count = sum(1 for _ in entries(file))
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 8_000
    assert peak_bytes < file.stat().st_size / 4


def test_one_large_entry_takes_time_in_step_with_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "entry.json"
    file.write_text(json.dumps([["x" * 50] * 800]))
    monkeypatch.setattr(json_stream, "_CHUNK_CHARS", 16)
    decoder = json.JSONDecoder()
    tries: list[int] = []

    class Counting(json.JSONDecoder):
        def raw_decode(self, text: str, at: int = 0) -> tuple[Any, int]:
            tries.append(len(text) - at)
            return decoder.raw_decode(text, at)

    monkeypatch.setattr(json, "JSONDecoder", Counting)
    assert len(list(entries(file))) == 1
    assert sum(tries) < 5 * file.stat().st_size


def test_repeated_keys_are_all_given(tmp_path: Path) -> None:
    file = tmp_path / "document.json"
    file.write_text('{"0": "a", "0": "b"}')
    assert list(entries(file)) == [("0", "a"), ("0", "b")]


BROKEN: list[tuple[bytes, str]] = [
    (b"", "expected [ or { in line 1"),
    (b"7", "expected [ or {"),
    (b"[1,\n2", "expected , in line 2"),
    (b"[1,\n2 3]", "expected , in line 2"),
    (b"[1,\n2,]", "Expecting value in line 2"),
    (b"[1]\n\n[2]", "more behind the end in line 3"),
    (b'{"a" 1}', "expected : in line 1"),
    (b"{1: 2}", "key 1 is not a text"),
    (b'["a\nb"]', "Invalid control character"),
    (b'["a', "Unterminated string"),
    (b'[{"a": tru}]', "Expecting value"),
    (b"[" * 100_000, "not JSON"),
    (b"[" + b"1" * 5_000 + b"]", "not JSON"),
]


@pytest.mark.parametrize(("content", "reason"), BROKEN, ids=[reason for _, reason in BROKEN])
def test_broken_json_is_refused_with_file_line_and_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    file = tmp_path / "broken.json"
    file.write_bytes(content)
    with pytest.raises(DataError) as refused:
        read_entries(file, lambda key, value: value, "mend it")
    [problem] = refused.value.problems
    assert problem.startswith(f"{file}: not JSON: ")
    assert reason in problem


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_lines_are_counted_from_the_start_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(json_stream, "_CHUNK_CHARS", chunk)
    file = tmp_path / "broken.json"
    file.write_text('[\n"one",\n\n["two",\n2],\n!\n]')
    with pytest.raises(ValueError, match="Expecting value in line 6"):
        list(entries(file))


def test_every_refused_entry_is_named_and_so_is_the_place_where_json_ends(tmp_path: Path) -> None:
    file = tmp_path / "broken.json"
    file.write_text('[1, "two", 3, "four", !]')

    def half(_: int | str, value: Any) -> int:
        if not isinstance(value, int):
            raise ValueError(f"{value!r} is no number")
        return value // 2

    with pytest.raises(DataError) as refused:
        read_entries(file, half, "write numbers")
    assert refused.value.problems == (
        f"{file}[1]: 'two' is no number",
        f"{file}[3]: 'four' is no number",
        f"{file}: not JSON: Expecting value in line 1",
    )
    assert str(refused.value).endswith("write numbers")


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.json does not exist"):
        read_entries(tmp_path / "nowhere.json", lambda key, value: value, "")
