"""Personal data is found by form and check digits, ordinary numbers are left alone, and what is masked holds none."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from t2s.data.pii import KINDS, Finding, Masks, find_in_sql, find_pii, mask, presidio_finder
from t2s.errors import ConfigError

# Published sample numbers: of the standards, tax offices and card schemes, or made by hand from their rules.
FOUND = [
    ("email", "write to kari.nordmann+shop@firma.co.uk please", "kari.nordmann+shop@firma.co.uk"),
    ("card", "paid with 4111 1111 1111 1111 in May", "4111 1111 1111 1111"),
    ("card", "card 378282246310005", "378282246310005"),
    ("card", "5555-5555-5555-4444?", "5555-5555-5555-4444"),
    ("iban", "to GB82 WEST 1234 5698 7654 32 today", "GB82 WEST 1234 5698 7654 32"),
    ("iban", "IBAN DE89370400440532013000", "DE89370400440532013000"),
    ("us_ssn", "SSN 536-22-8726", "536-22-8726"),
    ("us_ssn", "whose social security number is 536228726", "536228726"),
    ("uk_nino", "NI number AB 12 34 56 C", "AB 12 34 56 C"),
    ("es_dni", "DNI 54362315K", "54362315K"),
    ("es_nie", "NIE X2482300W", "X2482300W"),
    ("it_codice_fiscale", "CF RSSMRA85T10A562S", "RSSMRA85T10A562S"),
    ("fr_nir", "2 95 10 99 126 111 93", "2 95 10 99 126 111 93"),
    ("nl_bsn", "BSN 111222333", "111222333"),
    ("se_personnummer", "880320-0016", "880320-0016"),
    ("dk_cpr", "211062-5629", "211062-5629"),
    ("fi_hetu", "131052-308T", "131052-308T"),
    ("de_tax_id", "tax id 36 574 261 809", "36 574 261 809"),
    ("phone", "call +47 912 34 567 now", "+47 912 34 567"),
    ("phone", "is 0047 91234567 hers", "0047 91234567"),
    ("phone", "the one at (212) 555-0123", "(212) 555-0123"),
    ("phone", "rang from 0171 1234567", "0171 1234567"),
    ("phone", "customers with phone 912 34 567", "912 34 567"),
]
NOT_FOUND = [
    "orders between 2023-01-01 and 2024-12-31",
    "orders 1000001 to 1000099 over 12,500,000 euros",
    "order 0171 1234567, invoice 212-555-0123",
    "SKU 0123-4567-89 and article 4006381333931",
    "card 4111 1111 1111 1112",  # one digit off
    "IBAN GB82 WEST 1234 5698 7654 33",
    "SSN 000-12-3456",
    "order 111222333 and 36574261809",  # valid as BSN and tax id, but nobody says so
    "ratio 0.123456789012, 3.14159265358979",
    "2024-03-15 10:22:33, version 10.4.12.1",
    "turnover of 2019, 2020, 2021 and 2022",
    "mail someone@example.com",
    "LIKE '%@gmail.com'",
    "10 000 000 000 000 euros, 1 234 567 890 123 rows",
]


@pytest.mark.parametrize(("kind", "text", "value"), FOUND)
def test_each_kind_is_found_in_a_sentence_as_it_stands_there(kind: str, text: str, value: str) -> None:
    start = text.index(value)
    assert find_pii(text) == [Finding(kind, start, start + len(value), value)]


@pytest.mark.parametrize("text", NOT_FOUND)
def test_ordinary_numbers_dates_and_examples_are_nobodys(text: str) -> None:
    assert find_pii(text) == []


def fodselsnummer(date_and_number: str) -> str:
    """A number with its check digits, by the weights of the tax office; the next one where 10 comes out, which is no digit."""
    digits = [int(char) for char in date_and_number]
    for weights in ((3, 7, 6, 1, 8, 9, 4, 5, 2), (5, 4, 3, 2, 7, 6, 5, 4, 3, 2)):
        digits.append((11 - sum(a * b for a, b in zip(weights, digits, strict=True)) % 11) % 11)
    return fodselsnummer(f"{int(date_and_number) + 1:09}") if 10 in digits else "".join(map(str, digits))


def test_a_norwegian_number_is_found_by_its_two_check_digits() -> None:
    number = fodselsnummer("010190123")
    assert [f.kind for f in find_pii(f"member {number}")] == ["no_fodselsnummer"]
    wrong = number[:-1] + str((int(number[-1]) + 1) % 10)
    assert find_pii(f"member {wrong}") == []


def test_addresses_of_machines_are_looked_for_on_demand_only() -> None:
    assert find_pii("from 8.8.8.8") == []
    assert [f.text for f in find_pii("from 8.8.8.8, not 10.0.0.1", ["ip"])] == ["8.8.8.8"]
    assert [f.text for f in find_pii("2001:4860:4860::8888", KINDS)] == ["2001:4860:4860::8888"]


@pytest.mark.parametrize("text", [text for _, text, _ in FOUND])
def test_masked_text_keeps_its_form_and_holds_nothing_more(text: str) -> None:
    masked = mask(text)
    assert masked != text
    assert find_pii(masked) == []
    assert mask(masked) == masked
    if "@" not in text:
        assert [char.isdigit() for char in masked] == [char.isdigit() for char in text]


@given(st.lists(st.sampled_from([value for _, _, value in FOUND]) | st.text("abc 12-+@.", max_size=8), max_size=6))
def test_whatever_stands_around_it_a_mask_leaves_nothing_behind(parts: list[str]) -> None:
    assert find_pii(mask(" ".join(parts))) == []


@given(st.text(max_size=200))
def test_findings_are_in_order_apart_and_name_what_stands_there(text: str) -> None:
    found = find_pii(text, KINDS)
    assert all(text[f.start : f.end] == f.text for f in found)
    assert all(a.end <= b.start for a, b in pairwise(found))


def test_one_value_has_one_mask_however_it_is_written_and_two_have_two() -> None:
    masks = Masks()
    question = "Is +47 912 34 567 the phone of Kari@Firma.no?"
    sql = "SELECT 1 FROM c WHERE phone = '91234567' AND email = 'kari@firma.no' AND boss = 'ola@firma.no'"
    assert masks.masked(question, find_pii) == "Is +00 000 00 001 the phone of person2@example.com?"
    masked = masks.masked(sql, lambda text: find_in_sql(text, find_pii))
    assert masked == "SELECT 1 FROM c WHERE phone = '00000001' AND email = 'person2@example.com' AND boss = 'person3@example.com'"


def test_only_values_of_a_query_are_looked_at_and_the_column_tells_what_they_are() -> None:
    sql = """SELECT "kari@firma.no" FROM people WHERE bsn = 111222333 AND order_number = 111222333 -- ola@firma.no"""
    assert [f.text for f in find_in_sql(sql.replace("order_number = 111222333 ", ""), find_pii)] == ["111222333"]


def test_a_long_text_without_an_end_takes_no_time() -> None:
    for text in ("a." * 50_000, "1 " * 50_000, "+1" * 50_000, "AB12" * 25_000, "1:" * 50_000, "(0" * 50_000):
        assert find_pii(text, KINDS) == []


@dataclass
class Result:
    entity_type: str
    start: int
    end: int
    score: float


class Analyzer:
    """Answers as Presidio's engine does."""

    def analyze(self, text: str, language: str) -> list[Result]:
        return [Result("PERSON", 0, 4, 0.9), Result("LOCATION", 2, 8, 0.5), Result("DATE_TIME", 9, 12, 0.1)]


def test_presidio_findings_come_surest_first_without_overlap_or_guesses() -> None:
    find = presidio_finder("en", 0.4, Analyzer())
    assert find("Kari Nordmann") == [Finding("person", 0, 4, "Kari")]
    assert Masks().masked("Kari Nordmann", lambda text: find(text) if text.startswith("Kari") else []) == "Person 1 Nordmann"


@pytest.mark.skipif(importlib.util.find_spec("presidio_analyzer") is not None, reason="Presidio is installed here")
def test_without_presidio_the_message_says_what_to_install() -> None:
    with pytest.raises(ConfigError, match=r"pip install 't2s\[presidio\]'"):
        presidio_finder("en", 0.5)


@pytest.mark.skipif(importlib.util.find_spec("presidio_analyzer") is None, reason="presidio-analyzer is not installed; pip install it")
def test_presidio_itself_finds_a_mail_address() -> None:
    from presidio_analyzer.predefined_recognizers import EmailRecognizer

    class Engine:  # the recognizer alone: the engine would load a language model
        def analyze(self, text: str, language: str) -> object:
            return EmailRecognizer().analyze(text, ["EMAIL_ADDRESS"], None)

    assert [f.text for f in presidio_finder("en", 0.4, Engine())("mail kari@firma.no")] == ["kari@firma.no"]
