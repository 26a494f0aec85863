"""Personal data in questions and SQL: found by its form and its check digits, and masked so that a pair still agrees.

What is built in needs no model: mail addresses, phone numbers, cards, bank accounts and national numbers. Names and street
addresses have no form of their own; `presidio_finder` looks for those, where Presidio is installed.
"""

from __future__ import annotations

import importlib
import ipaddress
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from stdnum import iban, luhn
from stdnum.be import nn
from stdnum.br import cpf
from stdnum.ca import sin
from stdnum.ch import ssn as ahv
from stdnum.de import idnr
from stdnum.dk import cpr
from stdnum.es import dni, nie
from stdnum.fi import hetu
from stdnum.fr import nir
from stdnum.it import codicefiscale
from stdnum.nl import bsn
from stdnum.no import fodselsnummer
from stdnum.pl import pesel
from stdnum.se import personnummer
from stdnum.us import ssn

from t2s.errors import ConfigError
from t2s.sql.lexer import tokens

# A word this far before a number, or half as far behind it, says what the number is.
_REACH_CHARS = 40
_MOST_TRIES = 1000
_MOST_ROUNDS = 5


@dataclass(frozen=True)
class Finding:
    """One piece of personal data: what it is, where it stands, and the text itself."""

    kind: str
    start: int
    end: int
    text: str


Finder = Callable[[str], list[Finding]]


@dataclass(frozen=True)
class _Kind:
    """How one kind looks.

    Attributes:
        name: What a finding is called.
        pattern: Its form.
        holds: Whether its check digits, or what else is known of it, agree.
        told_by: Words one of which must stand near, where the form alone fits every other number.
        denied_by: Words none of which may stand before.
    """

    name: str
    pattern: re.Pattern[str]
    holds: Callable[[str], bool]
    told_by: re.Pattern[str] | None = None
    denied_by: re.Pattern[str] | None = None


def find_pii(text: str, kinds: Collection[str] | None = None) -> list[Finding]:
    """Personal data in a text, in order; where two kinds fit, the surer one counts.

    Args:
        text: Any text.
        kinds: Which of `KINDS` to look for; None for all but `ip`.

    Example:
        "mail kari@nordlys.no" -> [Finding("email", 5, 20, "kari@nordlys.no")]
    """
    wanted = KINDS if kinds is None else kinds
    found: list[Finding] = []
    for kind in _KINDS:
        if kind.name in wanted and (kind.name != "ip" or kinds is not None):
            free = (finding for finding in _of_kind(kind, text) if not any(_overlap(finding, other) for other in found))
            found += list(free)
    return sorted(found, key=lambda finding: finding.start)


def find_in_sql(sql: str, finder: Finder) -> list[Finding]:
    """Findings in the literals of a query; names of columns are no one's data, but tell what a number beside them is."""
    literals = [(t.start, t.start + len(t.text)) for t in tokens(sql) if t.text[:1] == "'" or (t.kind == "word" and t.text[0].isdigit())]
    return [finding for finding in finder(sql) if any(start <= finding.start and finding.end <= end for start, end in literals)]


def mask(text: str) -> str:
    """The text with its personal data replaced by made-up data of the same form, in which nothing is found.

    Example:
        "mail kari@nordlys.no or +47 912 34 567" -> "mail person1@example.com or +00 000 00 002"
    """
    return Masks().masked(text, find_pii)


class Masks:
    """Made-up values of one pair: the same value gets the same mask in its question, its history and its SQL."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[str, str], int] = {}
        self._made_up: set[str] = set()

    def masked(self, text: str, find: Finder) -> str:
        """The text with each finding masked; what surrounds them stays."""
        for _ in range(_MOST_ROUNDS):  # a mask and the digits beside it may look like something else
            findings = [finding for finding in find(text) if finding.text not in self._made_up]
            if not findings:
                break
            text = self._replaced(text, findings)
        return text

    def _replaced(self, text: str, findings: Sequence[Finding]) -> str:
        parts, end = [], 0
        for finding in sorted(findings, key=lambda finding: finding.start):
            fake = _made_up(finding, self._numbers.setdefault(_identity(finding), len(self._numbers) + 1))
            self._made_up.add(fake)
            parts += [text[end : finding.start], fake]
            end = finding.end
        return "".join([*parts, text[end:]])


def presidio_finder(language: str, min_score: float, analyzer: Any = None) -> Finder:
    """A finder that asks Microsoft Presidio, which also knows names and places.

    Args:
        language: As Presidio names it: `en`.
        min_score: Findings Presidio is less sure of are left out, 0 to 1.
        analyzer: An `AnalyzerEngine` set up elsewhere; None for Presidio's own default, which loads a language model.

    Raises:
        ConfigError: Presidio is not installed.
    """
    if analyzer is None:
        try:
            presidio = importlib.import_module("presidio_analyzer")
        except ImportError:
            raise ConfigError("the presidio finder needs Presidio: pip install 't2s[presidio]', or choose the built-in finder") from None
        analyzer = presidio.AnalyzerEngine()

    def find(text: str) -> list[Finding]:
        found: list[Finding] = []
        results = analyzer.analyze(text=text, language=language)
        for one in sorted(results, key=lambda one: (-one.score, one.start, one.end)):
            finding = Finding(one.entity_type.lower(), one.start, one.end, text[one.start : one.end])
            if one.score >= min_score and not any(_overlap(finding, other) for other in found):
                found.append(finding)
        return sorted(found, key=lambda finding: finding.start)

    return find


def _of_kind(kind: _Kind, text: str) -> Iterator[Finding]:
    for match in kind.pattern.finditer(text):
        before, after = text[max(0, match.start() - _REACH_CHARS) : match.start()], text[match.end() : match.end() + _REACH_CHARS // 2]
        if kind.told_by is not None and not kind.told_by.search(f"{before} | {after}"):
            continue
        if kind.denied_by is not None and kind.denied_by.search(before):
            continue
        held = next(filter(kind.holds, _beginnings(match.group())), None)
        if held is not None:
            yield Finding(kind.name, match.start(), match.start() + len(held), held)


def _beginnings(text: str) -> Iterator[str]:
    """The text, and what is left when groups at its end go: digits of the next word may have been taken for its own."""
    while text:
        yield text
        cut = max(text.rfind(" "), text.rfind("-"))
        text = text[:cut].rstrip() if cut > 0 else ""


def _overlap(one: Finding, other: Finding) -> bool:
    return one.start < other.end and other.start < one.end


def _identity(finding: Finding) -> tuple[str, str]:
    """What two spellings of one value share: a phone number with and without its country code is one."""
    if finding.kind == "phone":
        return finding.kind, _digits(finding.text)[-7:]
    return finding.kind, re.sub(r"[^\w@]", "", finding.text).casefold()


def _made_up(finding: Finding, number: int) -> str:
    if finding.kind == "email":
        return f"person{number}@example.com"
    if not any(map(str.isdigit, finding.text)):  # of Presidio's kinds: a name, a place
        return f"{finding.kind.replace('_', ' ').title()} {number}"
    fakes = (_like(finding.text, number + step * _MOST_TRIES) for step in range(_MOST_TRIES))
    told = f"{finding.kind.replace('_', ' ')} "
    return next((fake for fake in fakes if not find_pii(told + fake)), "X" * len(finding.text))


def _like(text: str, number: int) -> str:
    """The form of a text, its digits a number behind zeros, its letters X."""
    places = [place for place, char in enumerate(text) if char.isdigit()]
    digits = str(number)[-len(places) :].zfill(len(places))
    masked = [char if not char.isalpha() else "X" for char in text]
    for place, digit in zip(places, digits, strict=True):
        masked[place] = digit
    return "".join(masked)


def _digits(text: str) -> str:
    return re.sub(r"\D", "", text)


def _words(*words: str) -> re.Pattern[str]:
    """Any of the words, also as a part of a column's name."""
    return re.compile(rf"(?<![a-z])(?:{'|'.join(words)})(?![a-z])", re.IGNORECASE)


def _is_mail(text: str) -> bool:
    """Whether an address can be someone's: the names that RFC 2606 keeps for examples are nobody's."""
    domain = text.rpartition("@")[2].lower()
    return not re.search(r"(?:^|\.)(?:example(?:\.com|\.org|\.net)?|test|invalid|localhost)$", domain)


def _is_card(text: str) -> bool:
    number = _digits(text)
    return (
        len(set(number)) > 1
        and any(len(number) in sizes and re.match(begin, number) for begin, sizes in _ISSUERS)
        and luhn.is_valid(number)
    )


# How an issuer's numbers begin, and how long they are (ISO/IEC 7812).
_ISSUERS: tuple[tuple[str, Collection[int]], ...] = (
    (r"4", (13, 16, 19)),
    (r"5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720", (16,)),
    (r"3[47]", (15,)),
    (r"3(?:0[0-5]|[689])", (14, 16)),
    (r"6011|65|64[4-9]|62|35(?:2[89]|[3-8])", (16, 17, 18, 19)),
)


def _is_phone(text: str) -> bool:
    number = _digits(text)
    return 7 <= len(number) <= 15 and sum(digit != "0" for digit in number) > 3


def _is_national_phone(text: str) -> bool:
    return _is_phone(text) and 9 <= len(_digits(text)) <= 11


def _is_ip(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).is_global
    except ValueError:
        return False


def _always(text: str) -> bool:
    return bool(text)


_PHONE_WORDS = _words(
    "phones?", "telephone", "tel", "mobile", "cell", "call(?:ed|s)?", "fax", "sms", "whatsapp", "telefon", "mobil", "tlf", "msisdn"
)
# What other numbers with dashes and spaces are called.
_OTHER_NUMBERS = _words(
    "orders?", "invoices?", "sku", "products?", "articles?", "items?", "tickets?", "refs?", "references?", "isbn", "parts?", "ean", "batch"
)


def _id(name: str, form: str, holds: Callable[[str], bool], *told_by: str) -> _Kind:
    pattern = re.compile(rf"(?<![\w.+-]){form}(?![\w-])", re.IGNORECASE)
    return _Kind(name, pattern, holds, _words(*told_by) if told_by else None)


def _phone(
    form: str,
    holds: Callable[[str], bool] = _is_phone,
    told_by: re.Pattern[str] | None = None,
    denied_by: re.Pattern[str] | None = None,
) -> _Kind:
    return _Kind("phone", re.compile(form), holds, told_by, denied_by)


# The surest first. Forms of bare digits that every tenth number fits must be named by a word near them.
_KINDS: tuple[_Kind, ...] = (
    _Kind("email", re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,8}[a-z]{2,24}(?![\w-])", re.IGNORECASE), _is_mail),
    _Kind("iban", re.compile(r"(?<!\w)[A-Z]{2}\d{2}(?: ?[A-Z0-9]{1,4}){3,8}(?!\w)"), iban.is_valid),
    _Kind("iban", re.compile(r"(?<!\w)[a-z]{2}\d{2}[a-z0-9]{11,30}(?!\w)"), iban.is_valid),
    _Kind("card", re.compile(r"(?<![\w.,+-])\d(?:[ -]?\d){12,18}(?![\w-])"), _is_card),
    _id("it_codice_fiscale", r"[A-Z]{6}\d{2}[A-Z]\d{2}[A-Z]\d{3}[A-Z]", codicefiscale.is_valid),
    _id("fr_nir", r"[12] ?\d\d ?\d\d ?\d[\dAB] ?\d{3} ?\d{3} ?\d\d", nir.is_valid),
    _id("no_fodselsnummer", r"\d{6} ?\d{5}", fodselsnummer.is_valid),
    _id("us_ssn", r"\d{3}-\d\d-\d{4}", ssn.is_valid),
    _id("us_ssn", r"\d{9}", ssn.is_valid, "ssn", "social security"),
    _id("uk_nino", r"(?!BG|GB|NK|KN|TN|NT|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d\d ?\d\d ?\d\d ?[A-D]", _always),
    _id("se_personnummer", r"(?:\d\d)?\d{6}[-+]\d{4}", personnummer.is_valid),
    _id("se_personnummer", r"\d{12}|\d{10}", personnummer.is_valid, "personnummer", "personal identity", "personal number"),
    _id("dk_cpr", r"\d{6}-\d{4}", cpr.is_valid),
    _id("dk_cpr", r"\d{10}", cpr.is_valid, "cpr"),
    _id("fi_hetu", r"\d{6}[-+A-FU-Y]\d{3}[\dA-Y]", hetu.is_valid),
    _id("es_nie", r"[XYZ]-?\d{7}-?[A-Z]", nie.is_valid),
    _id("es_dni", r"\d{8}[- ]?[A-Z]", dni.is_valid),
    _id("ch_ahv", r"756\.\d{4}\.\d{4}\.\d\d", ahv.is_valid),
    _id("br_cpf", r"\d{3}\.\d{3}\.\d{3}-\d\d", cpf.is_valid),
    _id("be_nn", r"\d\d\.\d\d\.\d\d-\d{3}\.\d\d", nn.is_valid),
    _id("de_tax_id", r"\d\d ?\d{3} ?\d{3} ?\d{3}", idnr.is_valid, "tax", "steuer(?:nummer|id)?", "idnr", "tin"),
    _id("nl_bsn", r"\d{3}[ .]?\d{3}[ .]?\d{3}", bsn.is_valid, "bsn", "burgerservicenummer", "citizen service"),
    _id("pl_pesel", r"\d{11}", pesel.is_valid, "pesel"),
    _id("ca_sin", r"\d{3}[ -]?\d{3}[ -]?\d{3}", sin.is_valid, "sin", "social insurance"),
    _phone(r"(?<!\w)(?:\+|00)[1-9](?:[ ().-]{0,2}\d){6,14}(?!\w)"),
    _phone(r"(?<![\w.-])(?:\([2-9]\d\d\) ?|[2-9]\d\d[-. ])[2-9]\d\d[-. ]\d{4}(?![\w-])", denied_by=_OTHER_NUMBERS),
    _phone(r"(?<![\w.-])\(?0[1-9]\d{0,3}\)?[ /-]\d{2,8}(?:[ -]\d{2,4}){0,4}(?![\w-])", _is_national_phone, denied_by=_OTHER_NUMBERS),
    _phone(r"(?<![\w.+-])\d(?:[ -]?\d){6,11}(?![\w-])", told_by=_PHONE_WORDS, denied_by=_OTHER_NUMBERS),
    _Kind("ip", re.compile(r"(?<![\w.:])\d{1,3}(?:\.\d{1,3}){3}(?![\w:]|\.\d)"), _is_ip),
    _Kind("ip", re.compile(r"(?<![\w.:])[\da-f]{0,4}(?::[\da-f]{0,4}){2,7}(?![\w:])", re.IGNORECASE), _is_ip),
)  # fmt: skip
KINDS: tuple[str, ...] = tuple(dict.fromkeys(kind.name for kind in _KINDS))
