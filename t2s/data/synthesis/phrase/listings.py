"""Listings and sets in words."""

from __future__ import annotations

from t2s.data.synthesis import lexicon, needs, tree
from t2s.data.synthesis.facts import ColumnFacts, TableFacts
from t2s.data.synthesis.phrase import spoken as say
from t2s.data.synthesis.phrase.amounts import expr
from t2s.data.synthesis.phrase.bits import is_only_price
from t2s.data.synthesis.phrase.nouns import Speaker
from t2s.data.synthesis.phrase.rows import Rows, from_end, name_with_noun, rows
from t2s.data.synthesis.phrase.said import Said, said
from t2s.sql.naming import stem, words


@said.register
def _(query: needs.Listing, s: Speaker) -> Said:
    table = s.facts.table(query.table)
    if query.distinct:
        return _partners(query, s, table)
    if query.limit:
        return _top(query, s, table)
    if len(query.tests) == 1 and isinstance(query.tests[0], tree.Named) and not query.tests[0].links:
        return _look_up(query, s, table, query.tests[0])
    found = rows(s, table, query.tests)
    columns, named = shown_text(query, s, table), _has_name(query)
    tail = order_text(query.order, s, table, query) if query.order else ""
    if named and not columns:
        return _names(found, s, table, tail)
    if named:
        return _with_columns(found, columns, s, table, tail)
    is_one = len(columns) == 1
    text = say.listed(columns)
    asks = (
        [f"what {'is' if is_one else 'are'} the {text} of {found.text()}"]
        if not is_one
        else [f"what is the {text} of each of the {found.text()}"]
    )
    return Said((f"the {text} of {found.text()}", f"the {text} of all {found.text()}"), tuple(asks), tail)


def _has_name(query: needs.Listing) -> bool:
    return any(shown.what == tree.ByRow(()) for shown in query.shown)


def shown_text(query: needs.Listing, s: Speaker, table: TableFacts) -> list[str]:
    """The columns shown besides the row's name."""
    found = []
    for shown in query.shown:
        if isinstance(shown.what, tree.ByRow):
            if shown.what.links:
                end, role = s.end(table.name, shown.what.links), s.role(shown.what.links)
                found.append(s.pick([role, role, f"{role} name"]) if end.label else s.column(end.key) if end.key else role)
        elif isinstance(shown.what, tree.Ref):
            found.append(s.of_row(shown.what.column))
        else:
            found.append(expr(shown.what, s, table))
    return found


def _names(found: Rows, s: Speaker, table: TableFacts, tail: str) -> Said:
    label, text = s.label_noun(table), found.text()
    several = s.plural_of(label) if len(table.label) < 2 else "names"
    if not table.label:
        label = label if label != "ID" else f"{s.one(table)} ID"
        several = s.plural_of(label)
        return Said((f"the {several} of {text}", f"the {several} of all {text}"), (f"what are the {several} of {text}",), tail)
    things = [f"all {text}", f"the {text}", f"the {several} of {text}", f"all {text} by {label}" if s.chance(0.2) else f"all {text}"]
    asks = [f"what are the {several} of {text}"]
    halves = found.split()
    if halves:
        asks += [f"which {halves[0]} {halves[1]}"] * 3
        if table.person and halves[0] == s.many(table):
            asks.append(f"which of our {halves[0]} {halves[1]}")
    else:
        asks += [f"which {text} are there", f"which {text} do we have", f"which are the {text}"]
    return Said(tuple(things), tuple(asks), tail)


def _with_columns(found: Rows, columns: list[str], s: Speaker, table: TableFacts, tail: str) -> Said:
    label, text, more = s.label_noun(table), found.text(), say.listed(columns)
    if not table.label and label == "ID":
        label = f"{s.one(table)} ID"
    things = [
        f"the {say.listed([label, *columns])} of {text}",
        f"the {say.listed([label, *columns])} of all {text}",
        f"all {text}{',' if found.rels or found.posts else ''} along with their {more}",
        f"{text}: {say.listed([label, *columns])}",
    ]
    asks = [f"what are the {say.listed([label, *columns])} of {text}"]
    halves = found.split()
    if halves:
        asks += [f"which {halves[0]} {halves[1]}, and what {'is their' if len(columns) == 1 else 'are their'} {more}"] * 2
    else:
        asks.append(f"which {text} do we have, with their {more}")
    return Said(tuple(things), tuple(asks), tail)


def _look_up(query: needs.Listing, s: Speaker, table: TableFacts, named: tree.Named) -> Said:
    columns, words_said = shown_text(query, s, table) or [s.label_noun(table)], name_with_noun(s, table, named, s.one(table))
    value = " ".join(s.value(value) for value in named.values)
    owner = s.pick([words_said, value]) if table.label and (len(named.values) == 2 or s.is_sure(table, named.values[0])) else words_said
    text, is_one = say.listed(columns), len(columns) == 1
    asks = [f"what {'is' if is_one else 'are'} the {text} of {owner}"] * 2
    only = query.shown[0].what
    if is_one and isinstance(only, tree.ByRow) and only.links:
        role = s.role(only.links)
        who = "who" if s.end(table.name, only.links).person else "what"
        asks += [
            f"{who} is the {role} of {owner}",
            f"which {role} does {owner} belong to" if who == "what" else f"who is the {role} of {owner}",
        ]
    if is_one and isinstance(only, tree.Ref) and only.column.form:
        verb = s.verb(only.column)
        if verb:
            asks += [f"when {'did' if verb[1] and False else 'was'} {owner} {verb[0]}"] * 2 if not verb[1] else []
    if is_one and isinstance(only, tree.Ref) and is_only_price(only.column, table):
        asks += [f"how much does {owner} cost"] * 2
    own = (
        f"{owner}'s {text}" if len(owner.split()) < 4 and " and " not in text and not owner.startswith("the ") else f"the {text} of {owner}"
    )
    return Said((f"the {text} of {owner}", own, f"the {text} for {owner}"), tuple(asks))


# The first rows ---------------------------------------------------------------------------------------------------


def adjective(column: ColumnFacts, down: bool, table: TableFacts, s: Speaker) -> str:
    """One word for first by a column: "cheapest"; empty where no word says just that."""
    last = stem(words(column.name)[-1]) if words(column.name) else ""
    pair = lexicon.SUPERLATIVES.get(last) or lexicon.SUPERLATIVES.get(stem(column.noun.split()[-1]))
    if not pair or (last in (stem("price"), stem("cost")) and not is_only_price(column, table)):
        return ""
    same = [c for c in table.columns if c.numeric and stem(c.noun.split()[-1]) == stem(column.noun.split()[-1])]
    return pair[0 if down else 1] if len(same) == 1 else ""


def first_by(query: needs.Listing, order: tree.By, s: Speaker, table: TableFacts) -> tuple[str, str]:
    """What stands before and behind the noun: ("most expensive", "") or ("", "with the highest weight")."""
    assert isinstance(order.what, tree.Ref)
    column = order.what.column
    if column.form:
        if table.person and {"birth", "born", "dob"} & set(words(column.name) + words(column.name.lower())):
            return ("youngest" if order.down else "oldest"), ""
        if s.is_plain_date(table, order.what):
            return (s.pick(["latest", "most recent", "newest"]) if order.down else s.pick(["earliest", "oldest", "first"])), ""
        verb = s.verb(column)
        if verb and not verb[1] and s.chance(0.5):
            return f"{s.pick(['most recently', 'last']) if order.down else 'first'} {verb[0]}", ""
        return "", f"with the {s.pick(['latest', 'most recent']) if order.down else 'earliest'} {s.column(column)}"
    word = adjective(column, order.down, table, s)
    if word and s.chance(0.6):
        return word, ""
    return "", f"with the {s.pick(['highest', 'largest']) if order.down else s.pick(['lowest', 'smallest'])} {s.column(column)}"


def _top(query: needs.Listing, s: Speaker, table: TableFacts) -> Said:
    assert query.order
    before, behind = first_by(query, query.order, s, table)
    columns, found = shown_text(query, s, table), rows(s, table, query.tests)
    one = query.limit == 1
    what = _top_things(found, before, behind, query.limit, s, table, query.tests)
    ask = _top_ask(found, before, behind, query.limit, s, table)
    extra = _extra(columns, one, s) if _has_name(query) else ""
    if not _has_name(query):
        text = say.listed(columns)
        return Said((f"the {text} of {what}",), (f"what {'is' if len(columns) == 1 else 'are'} the {text} of {what}",))
    if not table.label:
        label = s.label_noun(table)
        things = (f"the {label if one else s.plural_of(label)} of {what}{extra}",)
        return Said(things, (f"what {'is' if one else 'are'} {things[0]}",))
    return Said((f"{what}{extra}",), tuple(f"{text}{_ask_extra(columns, one, s)}" for text in ask))


def _top_things(found: Rows, before: str, behind: str, limit: int, s: Speaker, table: TableFacts, tests: tuple[tree.Test, ...]) -> str:
    count = "" if limit == 1 else s.pick([str(limit), say.small(limit)])
    if limit == 1 and (found.rels or found.tails):
        own = s.one(table)
        lead = f"the {before} {own}" if before else f"the {own} {behind}"
        return f"{lead} among the {found.text()}"
    if limit == 1:
        single = Rows(
            " ".join([*found.noun.split()[: -len(s.many(table).split())], s.one(table)]), found.posts, (), (), table.person
        ).text()
        return f"the {before} {single}".replace("  ", " ") if before else f"the {single} {behind}"
    top = s.pick(["top ", "", ""]) if not before else ""
    if before:
        return f"the {count} {before} {found.text()}"
    return f"the {top}{count} {found.text()} {behind}" if not found.rels else f"the {top}{count} {found.text()}, those {behind}"


def _top_ask(found: Rows, before: str, behind: str, limit: int, s: Speaker, table: TableFacts) -> list[str]:
    verb = behind.replace("with ", "has " if limit == 1 else "have ", 1)
    if limit == 1:
        among = "" if found.text() == s.many(table) else f" among the {found.text()}"
        if before:
            return [
                f"which {s.one(table)} is the {before}{among}"
                if " " in before or before.endswith("est")
                else f"what is the {before} {s.one(table)}{among}"
            ]
        return [f"which {s.one(table)} {verb}{among}", f"which of the {found.text()} {verb}"]
    count = s.pick([str(limit), say.small(limit)])
    return (
        [f"which are the {count} {before} {found.text()}"]
        if before
        else [f"which {count} {found.text()} {verb}" if not found.rels else f"which {count} of the {found.text()} {verb}"]
    )


def _extra(columns: list[str], one: bool, s: Speaker) -> str:
    if not columns:
        return ""
    return f"{s.pick([', with', ', along with', ', plus'])} {'the' if one else 'their'} {say.listed(columns)}"


def _ask_extra(columns: list[str], one: bool, s: Speaker) -> str:
    if not columns:
        return ""
    whose = s.pick(["what is the", "what is its"]) if one and len(columns) == 1 else "what are the" if one else "what are their"
    return f", and {whose} {say.listed(columns)}" if len(columns) > 1 or one else f", and what is their {columns[0]}"


# Order ------------------------------------------------------------------------------------------------------------


def order_text(order: tree.By, s: Speaker, table: TableFacts, query: needs.Listing) -> str:
    """How a listing is ordered."""
    if isinstance(order.what, tree.ByRow):
        end = s.end(table.name, order.what.links)
        if len(end.label) == 2:
            return s.pick([", sorted by last name and then first name", ", ordered by last name, then first name"]) + (
                " from Z to A" if order.down else ""
            )
        if not end.label:
            return f", sorted by {s.label_noun(end)}" + (", highest first" if order.down else "")
        if order.down:
            return s.pick([", in reverse alphabetical order", f", sorted by {s.label_noun(end)} from Z to A"])
        return s.pick(
            [", in alphabetical order", f", sorted by {s.label_noun(end)}", f", ordered by {s.label_noun(end)}", ", sorted alphabetically"]
        )
    assert isinstance(order.what, tree.Ref)
    column, noun = order.what.column, s.column(order.what.column)
    if column.form:
        word = s.pick(["newest first", "latest first", "most recent first"]) if order.down else s.pick(["oldest first", "earliest first"])
        return f", {word}" if s.is_plain_date(table, order.what) and s.chance(0.6) else f", sorted by {noun}, {word}"
    if order.down:
        return s.pick(
            [
                f", highest {noun} first",
                f", sorted by {noun} from high to low",
                f", in descending order of {noun}",
                f", by {noun}, highest first",
            ]
        )
    return s.pick(
        [f", lowest {noun} first", f", sorted by {noun} from low to high", f", in ascending order of {noun}", f", by {noun}, lowest first"]
    )


# What rows point to -----------------------------------------------------------------------------------------------


def _partners(query: needs.Listing, s: Speaker, table: TableFacts) -> Said:
    (shown,) = query.shown
    if isinstance(shown.what, tree.Ref):
        several = s.plural_of(s.column(shown.what.column))
        found = rows(s, table, query.tests).text()
        things = (f"the different {several} of {found}", f"all {several} that occur among {found}, each once")
        return Said(things, (f"which different {several} do {found} have", f"which {several} occur among {found}"))
    assert isinstance(shown.what, tree.ByRow)
    links = shown.what.links
    end = s.end(table.name, links)
    own = [test for test in query.tests if from_end([test], links) is not None]
    others = tuple(test for test in query.tests if test not in own)
    has = tree.Has(table.name, links, others, "=", 0)
    found_rows = rows(s, end, [*(from_end(own, links) or ()), has], noun=s.role(links))
    once = s.pick([", each once", ", each only once", ", without duplicates", ""])
    halves = found_rows.split()
    text = found_rows.text()
    asks = [f"which {halves[0]} {halves[1]}"] if halves else [f"which {text} are there", f"which are the {text}"]
    return Said((f"all {text}", f"the {text}", f"the names of the {text}"), tuple(asks), once)


# Sets -------------------------------------------------------------------------------------------------------------


@said.register
def _(query: needs.SetOf, s: Speaker) -> Said:
    left, right = query.left, query.right
    what = left.shown[0].what
    if isinstance(what, tree.ByRow):
        return _set_of_rows(query, s, what)
    table, other = s.facts.table(left.table), s.facts.table(right.table)
    assert isinstance(what, tree.Ref)
    assert isinstance(right.shown[0].what, tree.Ref)
    noun = s.column(what.column)
    several, one, two = s.plural_of(noun), rows(s, table, left.tests).text(), rows(s, other, right.tests).text()
    place = stem(what.column.noun) in lexicon.PLACE
    link = "with" if not place else s.pick(["with", "that have"])
    texts = {
        "INTERSECT": [f"{several} {link} both {one} and {two}", f"{several} that occur among {one} as well as among {two}"],
        "EXCEPT": [f"{several} {link} {one} but no {two}", f"{several} that occur among {one} but not among {two}"],
        "UNION": [f"{several} {link} {one} or {two}", f"{several} found among {one} or among {two}"],
    }[query.word]
    text = s.pick(texts)
    once = s.pick([", each once", ", no duplicates", ""]) if query.word == "UNION" else ""
    if query.counted:
        return Said((f"the number of different {text}",), (f"how many different {text} are there",))
    return Said((f"all {text}", f"the {text}"), (f"which {text} are there", f"what are the {text}"), once)


def _set_of_rows(query: needs.SetOf, s: Speaker, what: tree.ByRow) -> Said:
    table = s.facts.table(query.left.table)
    role, end = s.role(what.links), s.end(table.name, what.links)
    one, two = (rows(s, table, arm.tests).text() for arm in (query.left, query.right))
    who = "who" if end.person else "that"
    verb = {
        "INTERSECT": [f"have {one} and also {two}", f"have both {one} and {two}"],
        "EXCEPT": [f"have {one} but no {two}", f"have {one} but not a single one of the {two}"],
    }
    does = s.pick(verb[query.word][:1] if query.word == "EXCEPT" else verb[query.word])
    several = s.plural_of(role)
    if query.counted:
        return Said((f"the number of {several} {who} {does}",), (f"how many {several} {does}",))
    return Said((f"all {several} {who} {does}", f"the {several} {who} {does}"), (f"which {several} {does}",))
