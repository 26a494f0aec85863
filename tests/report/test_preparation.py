"""The report on prepared data: the page as a file, in a browser, and the tables on a terminal."""

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
from playwright.sync_api import Browser, Page, sync_playwright
from rich.cells import cell_len
from rich.console import Console

from t2s.data.cleaning import Cleaned, Rejected, StepCount
from t2s.data.example import Example
from t2s.data.leakage import Shared
from t2s.report.preparation import histogram, preparation_summary, show_preparation, write_preparation_report

SCRIPT = "</script><script>window.pwned = 1</script><img src=x onerror='window.pwned = 1'>"
HOSTILE = [SCRIPT, "<!--<script>", "\"'`&lt;{{ 7 * 7 }}${7 * 7}", "\u2028\u202e\ufeff", "\udc80 no UTF-8", "\x00\x1b[31m", "[bold]x[/]"]
COVERAGE = {"tables": {"shops": 7, "sales": 0}, "columns": {f"shops.c{n}": 9 - n for n in range(10)}, "clauses": {"filter": 3, "window": 0}}


def pair(n: int, **values: Any) -> Example:
    fields = {"question": f"question number {n}", "sql": f"SELECT a FROM shops WHERE b > {n}", "database": "shop", "id": f"p{n}"}
    return Example(**{**fields, **values})


def some() -> Cleaned:
    """Forty kept pairs and fifty refused ones."""
    kept = [pair(n, tags=("register:curt" if n % 4 else "register:plain", "source:hand")) for n in range(40)]
    refused = [Rejected(pair(n), "runs", "missing table: no such table: shop") for n in range(100, 147)]
    refused += [Rejected(pair(n, question=f"Sales of Oslo in {n}"), "agreement", "the question says so") for n in range(3)]
    steps = [StepCount("runs", "it runs", 90, 47, 0), StepCount("agreement", "it agrees", 43, 3, 2)]
    return Cleaned(kept, refused, steps, {"email": 12})


def summary_of(cleaned: Cleaned) -> dict[str, Any]:
    splits = {"train": cleaned.kept[:30], "test": cleaned.kept[30:]}
    return preparation_summary(cleaned, splits, {"train": {"spider": Shared(30, 1, 2, 3, (("q", "query"),))}}, COVERAGE, seed=0)


def hostile() -> Cleaned:
    kept = [pair(n, question=text, tags=(f"register:{text}", text)) for n, text in enumerate(HOSTILE)]
    refused = [Rejected(pair(0, question=text, sql=text, database=text, id=text), text, text) for text in HOSTILE]
    return Cleaned(kept, refused, [StepCount(text, text, 14, 1, 0) for text in HOSTILE], {SCRIPT: 1})


def page_of(tmp_path: Path, summary: dict[str, Any], title: str = "Shop") -> Path:
    write_preparation_report(tmp_path / "report.html", title, summary)
    return tmp_path / "report.html"


class Elements(HTMLParser):
    """The elements of a page, with their attributes."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_the_summary_counts_what_was_kept_and_refused_and_is_json() -> None:
    summary = summary_of(some())
    assert (summary["pairs_read"], summary["pairs_kept"], summary["rejected_total"]) == (90, 40, 50)
    assert [(step["name"], step["rejected"], step["after"]) for step in summary["steps"]] == [("runs", 47, 43), ("agreement", 3, 40)]
    assert summary["hardness"] == {"easy": 40, "medium": 0, "hard": 0, "extra": 0}
    assert summary["facets"] == {"register": {"curt": 30, "plain": 10}, "source": {"hand": 40}}
    assert summary["splits"]["test"]["pairs"] == 10
    assert summary["leakage"]["train"]["spider"]["skeletons"] == 3
    assert len(summary["examples"]["easy"]) == 4
    assert json.loads(json.dumps(summary))["rejected"][49] == {
        "question": "Sales of Oslo in 2", "sql": "SELECT a FROM shops WHERE b > 2", "database": "shop",
        "id": "p2", "step": "agreement", "reason": "the question says so",
    }  # fmt: skip
    assert summary_of(some()) == summary


def test_personal_data_does_not_reach_the_page(tmp_path: Path) -> None:
    told = pair(0, question="mail kari@firma.no", sql="SELECT 1 FROM t WHERE m = 'kari@firma.no'")
    cleaned = Cleaned([told], [Rejected(told, "runs", "near kari@firma.no")], [], {})
    page = page_of(tmp_path, summary_of(cleaned)).read_text(encoding="utf-8")
    assert "kari" not in page
    assert "person1@example.com" in page


@given(st.lists(st.integers(0, 10**6), max_size=60), st.integers(1, 30))
def test_a_histogram_holds_every_value_in_few_bars(values: list[int], most: int) -> None:
    shape = histogram(values, most)
    counts, start, width = shape["counts"], shape["start"], shape["width"]
    assert len(counts) <= most
    assert counts == [sum(start + place * width <= value < start + (place + 1) * width for value in values) for place in range(len(counts))]
    assert sum(counts) == len(values)


def test_hostile_text_adds_no_element_and_no_address(tmp_path: Path) -> None:
    elements = Elements(page_of(tmp_path, summary_of(hostile()), SCRIPT)).found
    assert [tag for tag, _ in elements if tag in ("script", "img")] == ["script", "script"]
    assert not [attributes for _, attributes in elements if {"src", "onerror", "onclick", "action"} & set(attributes)]
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert not [word for word in ("http://", "https://", "url(", "@import", "//cdn") if word in page]


def test_what_is_long_is_cut_and_says_so() -> None:
    long = Rejected(pair(0, question="x" * 10**6, sql="y" * 10**6), "length", "z" * 10**6)
    shown = preparation_summary(Cleaned([], [long] + [Rejected(pair(1), "length", "")] * 5999, [], {}), {}, {}, {}, seed=0)
    assert (len(shown["rejected"]), shown["rejected_total"]) == (5000, 6000)
    row = shown["rejected"][0]
    assert row["question"].startswith("xxx")
    assert row["question"].endswith("… (999,400 more characters)")
    assert len(json.dumps(row)) < 4000


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
        self.file = file

    def status(self) -> str:
        return self.page.locator(".status").inner_text()

    def close(self) -> None:
        assert self.troubles == []
        assert self.requests == [self.file.as_uri()]
        self.page.close()


def test_refused_pairs_are_searched_filtered_and_turned_page_by_page(browser: Browser, tmp_path: Path) -> None:
    report = Report(browser, page_of(tmp_path, summary_of(some())))
    assert report.status() == "1 to 20 of 50 pairs"
    report.page.get_by_role("button", name="Next").last.focus()
    report.page.keyboard.press("Enter")
    assert report.status() == "21 to 40 of 50 pairs"
    report.page.keyboard.press("Enter")  # the button that turns on has the focus
    assert report.status() == "41 to 50 of 50 pairs"
    report.page.get_by_label("Search").press_sequentially("oslo SALES")
    assert report.status() == "1 to 3 of 3 pairs found among 50"
    assert report.page.locator("[data-list] .question").all_inner_texts() == [f"Sales of Oslo in {n}" for n in range(3)]
    report.page.locator("select").select_option(label="runs (47)")
    assert report.status() == "0 pairs found among 50"
    report.page.get_by_role("button", name="Clear").click()
    assert report.status() == "1 to 20 of 50 pairs"
    report.close()


def test_the_page_shows_counts_gaps_and_lengths(browser: Browser, tmp_path: Path) -> None:
    report = Report(browser, page_of(tmp_path, summary_of(some())))
    text = report.page.locator("main").inner_text()
    for said in ("44.4 % of 90", "Not used: 1", "9 of 10 used", "median 3", "same shape"):
        assert said in text
    assert report.page.locator(".chip.bad", has_text="window").is_visible()
    assert report.page.locator("svg.histogram").count() == 2
    row = report.page.get_by_role("row", name="agreement")
    assert row.get_by_role("cell").all_inner_texts()[:3] == ["3", "2", "40"]
    report.close()


def test_hostile_data_is_shown_as_it_is_and_runs_nowhere(browser: Browser, tmp_path: Path) -> None:
    report = Report(browser, page_of(tmp_path, summary_of(hostile()), SCRIPT))
    assert report.page.title() == SCRIPT
    shown = [question.text_content() for question in report.page.locator("[data-list] .question").all()]
    assert shown[:4] == HOSTILE[:4]
    assert report.page.evaluate("window.pwned") is None
    report.close()


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_sticks_out_of_a_phone_or_a_desk(browser: Browser, tmp_path: Path, width: int, scheme: Any) -> None:
    wide = hostile()
    wide.kept.append(pair(1, question="w" * 500, sql="SELECT " + "v" * 500 + " FROM t"))
    summary = summary_of(wide) | {"coverage": {"columns": {"c" * 200: 1, "d" * 200: 0}}}
    report = Report(browser, page_of(tmp_path, summary, "Wide " * 30), viewport={"width": width, "height": 800}, color_scheme=scheme)
    assert report.page.evaluate("document.documentElement.scrollWidth") <= width
    dark = report.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(21, 24, 28)"
    assert dark is (scheme == "dark")
    report.close()


def test_no_pairs_and_none_refused_make_a_page_too(browser: Browser, tmp_path: Path) -> None:
    for cleaned in (Cleaned([], [], [], {}), Cleaned([], some().rejected, some().steps, {})):
        report = Report(browser, page_of(tmp_path, preparation_summary(cleaned, {}, {}, {}, seed=0)))
        assert "No pair was kept." in report.page.locator("main").inner_text()
        report.close()
    assert histogram([]) == {"start": 0, "width": 1, "counts": [], "median": 0, "most": 0}


def printed(summary: dict[str, Any]) -> str:
    console = Console(file=io.StringIO(), width=80)
    show_preparation(console, summary)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


def test_a_terminal_shows_steps_gaps_and_leaks_within_80_columns() -> None:
    text = printed(summary_of(some()))
    for said in ("40 of 90 pairs kept (44.4 %)", "tables: 1 of 2 used; not sales", "email, 12 times", "spider"):
        assert said in text
    wide = summary_of(hostile()) | {"coverage": {"columns": {f"{'c' * 60}{n}": 0 for n in range(50)}}}
    assert max(map(cell_len, (text + printed(wide)).split("\n"))) <= 80
    assert "[bold]x[/]" in printed(wide)
