"""The judge's report: the page as a file, in a browser, and the tables on a terminal."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from judged import broken, right, wrong
from playwright.sync_api import Browser, Page, sync_playwright
from rich.console import Console

from t2s.errors import DataError
from t2s.metrics.assessment import Assessment, Head
from t2s.metrics.paired import compare_sets
from t2s.metrics.summary import summary
from t2s.report.judgement import mark_differences, show_judgement, show_paired, write_report

SCRIPT = "</script><script>window.pwned = 1</script><img src=x onerror='window.pwned = 1'>"
HOSTILE = [SCRIPT, "<!--<script>", "\"'`&lt;{{ 7 * 7 }}${7 * 7}", "\u2028\u202e\ufeff", "\udc80 no UTF-8", "\x00\x1b[31m", "[bold]x[/]"]
RULES = {"columns": "fixed", "suite": None}
VALUES = (None, b"\x00</script>", float("nan"), float("inf"), 2**63 - 1, "", "x" * 100_000, SCRIPT, "\udcff")


class Skeleton(HTMLParser):
    """Which elements a page has, and what stands in its scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.elements and self.elements[-1][0] == "script" and data.strip():
            self.scripts.append(data)


def some() -> list[Assessment]:
    """Sixty predictions: right ones, and misses of several kinds on two databases."""
    frogs = {"question": "Which frogs live in Oslo?", "gold": "SELECT name FROM frogs WHERE city = 'Oslo'", "database": "pond"}
    found: list[Assessment] = [right(index=i) for i in range(10)]
    found += [wrong(index=i, hardness="hard") for i in range(10, 55)]
    found += [
        wrong(index=i, predicted="SELECT name FROM frogs WHERE city = 'Olso'", diagnosis=("wrong_value",), **frogs) for i in range(55, 58)
    ]
    return [*found, broken(index=58, hardness="extra"), wrong(index=59, bird=True, spider=True, diagnosis=("wrong_order",), **frogs)]


def hostile() -> list[Assessment]:
    head = Head((SCRIPT, *map(str, range(1, 9))), (VALUES,) * 3, 3)
    return [
        wrong(index=i, question=text, gold=f"SELECT '{text}'", predicted=f"SELECT '{text}' -- {SCRIPT}", database=text,
              tags=(text,), diagnosis=(text,), detail=text, gold_head=head, predicted_head=head)
        for i, text in enumerate(HOSTILE)
    ]  # fmt: skip


def data_of(file: Path) -> dict[str, Any]:
    """The data a report carries."""
    data: dict[str, Any] = json.loads(Skeleton(file.read_text(encoding="utf-8")).scripts[0])
    return data


def test_only_misses_are_listed_each_with_all_a_reader_needs(tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", "Frogs", some(), RULES)
    misses = data_of(tmp_path / "report.html")["misses"]
    assert [miss["index"] for miss in misses] == list(range(10, 60))
    miss = misses[45]
    assert miss["question"] == "Which frogs live in Oslo?"
    assert [panel["sql"] for panel in miss["panels"]] == [
        ["SELECT name FROM frogs WHERE city = ", "'Oslo'"],
        ["SELECT name FROM frogs WHERE city = ", "'Olso'"],
    ]
    assert miss["panels"][1]["head"] == {"columns": ["max(id)"], "more_columns": 0, "rows": [[["number", "7"]]], "total": 1}
    assert miss["facets"]["diagnosis"] == ["wrong_value"]
    assert misses[48]["panels"][1]["head"] is None


def test_the_headline_names_every_comparison_with_its_interval(tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", "Frogs", [right(), right(), right(), wrong(bird=True)], RULES)
    page = " ".join((tmp_path / "report.html").read_text(encoding="utf-8").split())
    # 3 of 4 by Wilson: 30.1 to 95.4 %; 4 of 4: 51.0 to 100 %.
    assert "Execution accuracy, spider <b>75.0 %</b> <small>30.1 to 95.4 %</small> <small>3 of 4</small>" in page
    assert "Execution accuracy, bird <b>100.0 %</b> <small>51.0 to 100.0 %</small> <small>4 of 4</small>" in page


def talks() -> list[Assessment]:
    first = [right(conversation="a", index=0), right(conversation="a", index=1, asked=("How many pets?",), question="the old ones")]
    return [*first, right(conversation="b", index=2), wrong(conversation="b", index=3, asked=("Names?",), question="sorted", bird=True)]


def test_conversations_have_a_headline_and_their_misses_tell_what_was_asked_before(tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", "Talks", talks(), RULES)
    page = " ".join((tmp_path / "report.html").read_text(encoding="utf-8").split())
    assert "Question match, strict <b>75.0 %</b> <small>30.1 to 95.4 %</small> <small>3 of 4 turns</small>" in page
    assert "Interaction match, bird <b>100.0 %</b>" in page
    assert "<small>1 of 2 conversations</small>" in page
    assert "behind the right answers to those before it" in page
    assert "By turn (2)" in page
    assert [miss["question"] for miss in data_of(tmp_path / "report.html")["misses"]] == ["Names? → sorted"]
    write_report(tmp_path / "own.html", "Talks", talks(), {**RULES, "history": "own"})
    assert "behind the model&#39;s own answers" in (tmp_path / "own.html").read_text(encoding="utf-8")


def test_a_page_without_conversations_does_not_speak_of_them(tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", "Frogs", some(), RULES)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert not [word for word in ("Question match", "nteraction", "By turn") if word in page]


def test_the_terminal_shows_conversations_once_within_80_columns() -> None:
    console = Console(file=io.StringIO(), width=80)
    show_judgement(console, summary(talks()))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert max(map(len, text.splitlines())) <= 80
    assert [" ".join(line.replace("│", " ").split()) for line in text.splitlines() if " match " in line] == [
        "question match 4 75.0 % 100.0 % 75.0 %",
        "interaction match 2 50.0 % 100.0 % 50.0 %",
    ]
    assert text.count("By turn") == 1
    quiet = Console(file=io.StringIO(), width=80)
    show_judgement(quiet, summary(some()))
    assert "onversation" not in quiet.file.getvalue()  # type: ignore[attr-defined]


def test_hostile_text_adds_no_element_and_no_address(tmp_path: Path) -> None:
    paired = compare_sets(hostile(), [right(**_case(a)) for a in hostile()], names=(SCRIPT, "\udc80"))
    write_report(tmp_path / "report.html", SCRIPT, hostile(), RULES, paired)
    elements = Skeleton((tmp_path / "report.html").read_text(encoding="utf-8")).elements
    assert [tag for tag, _ in elements if tag in ("script", "img")] == ["script", "script"]
    assert not [attributes for _, attributes in elements if {"src", "onerror", "onclick", "action"} & set(attributes)]
    assert {attributes["href"] for _, attributes in elements if "href" in attributes} == {"#misses-heading", "#changes-heading"}


def test_the_page_names_no_address_at_all(tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", "Frogs", some(), RULES)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert not [word for word in ("http://", "https://", "url(", "@import", "//cdn") if word in page]


def test_what_is_long_is_cut_and_says_so(tmp_path: Path) -> None:
    long = wrong(gold="SELECT " + "1+" * 50_000 + "1", gold_head=Head(("a",) * 2000, ((*VALUES, *range(1991)),) * 500, 12_345))
    write_report(tmp_path / "report.html", "Long", [long] * 20, RULES)
    panel = data_of(tmp_path / "report.html")["misses"][0]["panels"][0]
    assert len("".join(panel["sql"])) + panel["more"] == len(long.case.gold)
    assert len(panel["head"]["columns"]) + panel["head"]["more_columns"] == 2000
    assert panel["head"]["total"] == 12_345
    assert "99,900 more characters" in panel["head"]["rows"][0][6][1]
    assert (tmp_path / "report.html").stat().st_size < 20 * 25_000 + 50_000


def test_a_report_on_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="at least one"):
        write_report(tmp_path / "report.html", "Nothing", [], RULES)


def test_names_are_compared_without_case_and_strings_with_it() -> None:
    left, right_ = mark_differences("SELECT Name FROM t WHERE a = 'X'", "select name\nfrom T where a = 'x' -- hm")
    assert left == ["SELECT Name FROM t WHERE a = ", "'X'"]
    assert right_ == ["select name\nfrom T where a = ", "'x'", " -- hm"]


def test_white_space_between_two_differing_tokens_is_marked_with_them() -> None:
    left, right_ = mark_differences("SELECT a FROM t ORDER BY a DESC LIMIT 1", "SELECT a FROM t")
    assert left == ["SELECT a FROM t ", "ORDER BY a DESC LIMIT 1"]
    assert right_ == ["SELECT a FROM t"]


@given(st.text("ab'\"() ,-\n", max_size=40), st.text("ab'\"() ,-\n", max_size=40))
def test_runs_joined_give_the_queries_back_and_common_runs_agree(left: str, right_: str) -> None:
    runs = mark_differences(left, right_)
    assert tuple("".join(side) for side in runs) == (left, right_)
    common = ["".join("".join(side[::2]).split()) for side in runs]
    if "--" not in left + right_ and "'" not in left + right_ and '"' not in left + right_:
        assert common[0] == common[1]


@given(st.text(max_size=60))
def test_a_query_does_not_differ_from_itself(sql: str) -> None:
    assert mark_differences(sql, sql) == ([sql], [sql])


def test_two_huge_queries_are_marked_at_once() -> None:
    left, right_ = mark_differences("( " * 2000 + "a", ") " * 2000 + "b")
    assert len(left) == len(right_) == 2


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
    if program is None:
        pytest.skip("no Chromium on this machine; install one, e.g. apt-get install chromium")
    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=program) as browser:
        yield browser


class Report:
    """A report open in a browser, and what went wrong in it."""

    def __init__(self, browser: Browser, file: Path, **view: Any) -> None:
        self.page: Page = browser.new_page(**view)
        self.troubles: list[str] = []
        self.requests: list[str] = []
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("console", lambda message: self.troubles.append(message.text))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(file.as_uri())

    def status(self) -> str:
        return self.page.locator("[data-rows=misses] .status").inner_text()

    def questions(self) -> list[str]:
        return self.page.locator("[data-rows=misses] .question").all_inner_texts()


@pytest.fixture
def report(browser: Browser, tmp_path: Path) -> Iterator[Report]:
    write_report(tmp_path / "report.html", "Frogs", some(), RULES)
    report = Report(browser, tmp_path / "report.html")
    yield report
    assert report.troubles == []
    assert report.requests == [(tmp_path / "report.html").as_uri()]
    report.page.close()


def test_the_search_box_narrows_the_misses_as_one_types(report: Report) -> None:
    assert report.status() == "1 to 20 of 50 misses"
    box = report.page.get_by_label("Search")
    box.press_sequentially("olso FROGS")
    assert report.status() == "1 to 3 of 3 misses found among 50"
    assert report.questions() == ["Which frogs live in Oslo?"] * 3
    marks = report.page.locator("[data-rows=misses] tbody tr").first.locator("mark").all_inner_texts()
    assert marks == ["'Oslo'", "'Olso'"]
    box.fill("no such words")
    assert report.status() == "0 misses found among 50"
    report.page.get_by_role("button", name="Clear").click()
    assert report.status() == "1 to 20 of 50 misses"


def test_filters_add_up_with_the_search(report: Report) -> None:
    misses = report.page.locator("[data-rows=misses]")
    misses.get_by_label("database").select_option(label="pond (4)")
    assert report.status() == "1 to 4 of 4 misses found among 50"
    misses.get_by_label("diagnosis").select_option(label="wrong order (1)")
    assert report.status() == "1 to 1 of 1 misses found among 50"
    report.page.get_by_label("Search").fill("Olso")
    assert report.status() == "0 misses found among 50"
    report.page.get_by_role("button", name="Clear").click()
    misses.get_by_label("execution").select_option(label="syntax error (1)")
    assert report.page.locator("[data-rows=misses] tbody td").last.inner_text().endswith("no result")


def test_pages_are_turned_from_the_keyboard(report: Report) -> None:
    report.page.get_by_role("button", name="Next").last.focus()
    report.page.keyboard.press("Enter")
    assert report.status() == "21 to 40 of 50 misses"
    report.page.keyboard.press("Space")  # a button that turns on has the focus
    assert report.status() == "41 to 50 of 50 misses"
    report.page.keyboard.press("Enter")  # there is no further page: the button that turns back has it
    assert report.status() == "21 to 40 of 50 misses"


def test_hostile_data_is_shown_as_it_is_and_runs_nowhere(browser: Browser, tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", SCRIPT, hostile(), RULES)
    report = Report(browser, tmp_path / "report.html")
    assert report.page.title() == SCRIPT
    shown = [question.text_content() for question in report.page.locator("[data-rows=misses] .question").all()]
    assert shown[:3] == HOSTILE[:3]
    cells = [cell.text_content() for cell in report.page.locator(".result").first.locator("td").all()[:8]]
    assert cells[:6] == ["NULL", "00 3c 2f 73 63 72 69 70 74 3e (10 bytes)", "nan", "inf", "9223372036854775807", ""]
    assert cells[7] == SCRIPT
    for select in report.page.locator("[data-rows=misses] select").all():
        select.select_option(index=1)
    assert report.page.evaluate("window.pwned") is None
    assert report.troubles == []
    report.page.close()


def test_ten_thousand_misses_draw_one_page_of_rows(browser: Browser, tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", "Many", [wrong(index=i, question=f"question {i}") for i in range(10_000)], RULES)
    report = Report(browser, tmp_path / "report.html")
    assert report.status() == "1 to 20 of 10000 misses"
    report.page.get_by_label("Search").fill("question 9999")
    assert report.questions() == ["question 9999"]
    assert report.page.locator("[data-rows=misses] .rows > tbody > tr").count() == 1
    report.page.close()


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_sticks_out_of_a_phone_or_a_desk(browser: Browser, tmp_path: Path, width: int) -> None:
    write_report(tmp_path / "report.html", "Wide " * 30, [*hostile(), *some()], RULES, compare_sets(some(), some()))
    report = Report(browser, tmp_path / "report.html", viewport={"width": width, "height": 800})
    assert report.page.evaluate("document.documentElement.scrollWidth") <= width
    report.page.close()


def test_a_paired_comparison_lists_what_changed(browser: Browser, tmp_path: Path) -> None:
    before, after = some(), [right(**_case(a)) if a.case.index == 58 else a for a in some()]
    write_report(tmp_path / "report.html", "Frogs", after, RULES, compare_sets(before, after, names=("old", "new")))
    report = Report(browser, tmp_path / "report.html")
    changes = report.page.locator("[data-rows=changes]")
    assert changes.locator(".status").inner_text() == "1 to 1 of 1 changes"
    assert "gained" in changes.locator("tbody").first.inner_text()
    assert report.page.get_by_role("heading", name="new against old").is_visible()
    report.page.close()


def _case(a: Assessment) -> dict[str, Any]:
    return {"index": a.case.index, "question": a.case.question, "database": a.case.database, "gold": a.case.gold}


def printed(show: Any, *args: Any) -> str:
    console = Console(file=io.StringIO(), width=80)
    show(console, *args)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


def test_a_terminal_shows_each_comparison_and_each_group() -> None:
    lines = printed(show_judgement, summary(some())).splitlines()
    # 11 of 60 by Wilson: 10.6 to 29.9 %.
    assert any("18.3 %" in line and "10.6 to 29.9 %" in line and "bird" in line for line in lines)
    assert {"wrong_aggregate", "syntax_error", "extra", "pond"} <= {word for line in lines for word in line.split()}


def test_tables_fit_a_terminal_of_80_columns_whatever_the_names() -> None:
    long = [wrong(index=i, database="d" * 70, tags=("[red]t[/]" * 9,), diagnosis=("[/]",)) for i in range(3)] + some()
    text = printed(show_judgement, summary(long)) + printed(show_paired, compare_sets(some(), some(), ("n" * 90, "[/]")))
    assert max(map(len, text.splitlines())) <= 80
    assert "[red]" in text
    assert "100.0 %" in text


def test_a_paired_comparison_on_a_terminal() -> None:
    before, after = some(), [right(**_case(a)) for a in some()]
    text = printed(show_paired, compare_sets(before, after, names=("old", "new")))
    assert "new against old" in text
    assert "< 0.0001" in text


def test_marked_runs_and_common_runs_take_turns() -> None:
    left, _ = mark_differences("SELECT a, b, c FROM t", "SELECT x, b, y FROM t")
    assert left == ["SELECT ", "a", ", b, ", "c", " FROM t"]
