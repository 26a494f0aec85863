"""English that no schema spells out: what a column's word says about its values, and what people say instead."""

from __future__ import annotations

from t2s.sql.naming import stem


def _by_stem(pairs: dict[str, str]) -> dict[str, str]:
    return {stem(word): said for words, said in pairs.items() for word in words.split()}


def _stems(words: str) -> frozenset[str]:
    return frozenset(stem(word) for word in words.split())


# What happened on a date, by the word that its column is named after: passive, so that it stands behind a noun.
PASSIVE = _by_stem(
    {
        "order": "ordered", "hire": "hired", "birth": "born", "born": "born", "ship shipped shipping shipment": "shipped", "open": "opened",
        "close closing": "closed", "launch": "launched", "discontinue": "discontinued", "deliver delivery": "delivered",
        "return": "returned", "pay paid payment": "paid", "review": "reviewed", "create creation": "created", "update": "updated",
        "modify modified": "modified", "release": "released", "publish publication": "published", "found founded": "founded",
        "establish": "established", "build built": "built", "purchase": "purchased", "sale sold": "sold", "book booking": "booked",
        "admit admission": "admitted", "discharge": "discharged", "approve approval": "approved", "resolve": "resolved",
        "cancel cancellation": "cancelled", "issue": "issued", "receive receipt": "received", "invoice": "invoiced",
        "rent rental": "rented",
        "borrow loan": "lent", "submit submission": "submitted", "complete completion": "completed", "finish": "finished",
        "count": "counted", "inspect inspection": "inspected", "schedule": "scheduled", "post": "posted", "send sent": "sent",
        "sign": "signed", "appoint": "appointed", "elect": "elected", "record": "recorded", "report": "reported", "add": "added",
        "file": "filed", "install installation": "installed", "acquire acquisition": "acquired", "verify": "verified",
        "dispatch": "dispatched", "assign": "assigned", "graduate": "graduated",
    }
)  # fmt: skip
# Active: "who signed up", "that started".
ACTIVE = _by_stem(
    {
        "signup signed": "signed up", "left leave leaving": "left", "join joined": "joined", "start starts begin begins": "started",
        "end ends": "ended", "arrive arrival": "arrived", "depart departure": "departed", "die death": "died", "expire expiry": "expired",
        "register registration registered": "registered", "enroll enrolment enrollment": "enrolled", "login": "logged in",
        "retire": "retired",
        "terminate termination": "left", "premiere": "premiered", "debut": "debuted",
    }
)  # fmt: skip
# What people call the date itself.
DATE_NOUNS = _by_stem(
    {
        "hire": "hire date", "open": "opening date", "close": "closing date", "launch": "launch date", "signed signup": "sign-up date",
        "pay paid": "payment date", "ship": "shipping date", "deliver": "delivery date", "order": "order date", "return": "return date",
        "review": "review date", "left leave": "leaving date", "start": "start date", "end": "end date", "count": "count date",
        "create": "creation date", "birth born": "date of birth", "expire": "expiry date", "publish": "publication date",
        "release": "release date", "join": "joining date", "update": "date of the last update", "due": "due date",
    }
)  # fmt: skip
DATE_ENDINGS = frozenset(["at", "on", "date", "time", "datetime", "timestamp", "day", "dt", "ts", "year", "yr"])

PERSON = frozenset(
    [
        "customer", "employee", "client", "user", "member", "student", "teacher", "professor", "instructor", "doctor", "patient",
        "nurse", "physician", "author", "writer", "actor", "director", "person", "people", "singer", "musician", "player",
        "coach", "driver", "passenger", "guest", "staff", "manager", "agent", "seller", "buyer", "visitor", "resident",
        "candidate", "voter", "friend", "contact", "subscriber", "donor", "trainer", "lecturer", "reviewer", "owner", "pilot",
        "artist", "participant", "applicant", "tenant", "host", "worker", "engineer", "architect", "judge", "lawyer",
        "politician", "swimmer", "wrestler", "gymnast", "journalist", "scientist", "researcher", "representative", "salesperson",
        "borrower", "winner", "lodger", "child", "parent", "father", "mother",
    ]
)  # fmt: skip
# Artists may be bands: people ask "which artists", never "who".
GROUPISH = frozenset(["artist", "contact", "client", "customer", "user", "member", "owner"])
PLACE = _stems(
    "city country region state province county continent town district location place territory nation area municipality village "
    "address venue headquarter nationality"
)
PLACE_TABLE = _stems("store shop branch warehouse office school university stadium station airport hotel restaurant hospital museum park theater cinema library")  # noqa: E501  # fmt: skip
MONEY = _stems(
    "price cost amount salary fee total revenue budget balance value tax income wage pay payment spend sales turnover profit discount "
    "credit debit charge rent bonus freight fare premium deposit expense gross net worth refund msrp money earning donation"
)
QUANTITY = _stems(
    "quantity stock unit piece item count seat ticket copy participant attendance employee member population visitor inventory"
)
PRICE = _stems("price rate cost")
AMOUNT_OF_GOODS = _stems("quantity qty unit piece")
CONTACT = _stems(
    "email mail phone telephone fax mobile url website homepage address street password token postal zip postcode hash "
    "uuid guid ssn iban photo"
)
NAME = _stems("name title label")
TEXT = _stems("description body note comment text content summary remark message bio biography abstract detail")
CODE = _stems("code sku isbn iso symbol abbreviation serial barcode ean slug")
KEY_ENDINGS = frozenset(["id", "key", "no", "nr", "number", "num", "code", "fk", "pk", "uid"])
# Their values stand before the noun: "cancelled orders", "web orders".
ADJECTIVE_COLUMNS = _stems("status state channel type kind tier condition class stage gender sex size colour color method segment season")
# Proper names that do: "Skarv products", "DHL shipments".
MAKER_COLUMNS = _stems("brand make manufacturer maker carrier genre vendor publisher label language platform operator airline")
JOB_COLUMNS = _stems("job title position role occupation profession")
GENDERS = {"m": "male", "f": "female", "male": "male", "female": "female"}

# adjective for the highest, for the lowest
SUPERLATIVES = {
    stem(word): pair
    for words, pair in {
        "price cost": ("most expensive", "cheapest"),
        "weight": ("heaviest", "lightest"),
        "length duration runtime millisecond": ("longest", "shortest"),
        "height elevation": ("tallest", "shortest"),
        "age": ("oldest", "youngest"),
        "salary wage": ("best paid", "lowest paid"),
        "area size": ("largest", "smallest"),
        "speed": ("fastest", "slowest"),
        "population capacity": ("largest", "smallest"),
    }.items()
    for word in words.split()
}
UNITS = {
    "g": "grams", "kg": "kilograms", "m": "metres", "m2": "square metres", "km": "kilometres", "cm": "centimetres", "mm": "millimetres",
    "ml": "millilitres", "l": "litres", "days": "days", "day": "days", "hours": "hours", "hour": "hours", "minutes": "minutes",
    "min": "minutes",
    "seconds": "seconds", "sec": "seconds", "ms": "milliseconds", "mb": "megabytes", "kb": "kilobytes", "gb": "gigabytes", "mph": "mph",
    "kmh": "km/h", "months": "months", "weeks": "weeks", "years": "years", "percent": "percent", "pct": "percent",
}  # fmt: skip
# A row of these is a record of one.
UNCOUNTABLE = frozenset(
    ["inventory", "stock", "staff", "equipment", "data", "information", "personnel", "attendance", "feedback", "history", "weather"]
)
# A column named after its unit alone, and what it measures.
LONE_UNITS = {"milliseconds": "length", "seconds": "length", "minutes": "length", "hours": "length", "bytes": "size", "megabytes": "size"}
CURRENCIES = frozenset(["eur", "usd", "nok", "sek", "dkk", "gbp", "chf", "dollars", "euros", "euro"])

# What people call the thing instead; used only where no other table or column has that word.
SYNONYMS = {
    stem(noun): tuple(words)
    for noun, words in {
        "customer": ["client", "buyer", "shopper"], "product": ["article", "item"], "store": ["shop"], "shop": ["store"],
        "employee": ["staff member", "colleague"], "supplier": ["vendor"], "order": ["purchase"], "shipment": ["parcel", "delivery"],
        "film": ["movie"], "movie": ["film"], "track": ["song"], "song": ["track"], "invoice": ["bill"], "promotion": ["campaign"],
        "teacher": ["instructor"], "car": ["vehicle"], "department": ["division"], "company": ["firm"], "airport": ["airfield"],
        "student": ["pupil"], "category": ["product group"], "review": ["rating"], "ticket": ["case"], "payment": ["transaction"],
        "country": ["nation"], "doctor": ["physician"], "book": ["title"], "flight": ["trip"], "warehouse": ["depot"], "city": ["town"],
    }.items()
}  # fmt: skip
COLUMN_SYNONYMS = {
    stem(noun): tuple(words)
    for noun, words in {
        "salary": ["pay", "wage"], "phone": ["phone number"], "email": ["e-mail address", "e-mail"], "price": ["price"],
        "description": ["description"], "rating": ["score"], "job title": ["job", "role"], "country": ["country"],
        "city": ["city", "town"], "status": ["status", "state"], "quantity": ["quantity", "number of units"], "freight": ["freight cost"],
        "reason": ["reason", "cause"], "topic": ["subject"], "brand": ["make", "brand"], "birth year": ["year of birth"],
    }.items()
}  # fmt: skip
DEMONYMS = {
    "Norway": "Norwegian", "Sweden": "Swedish", "Denmark": "Danish", "Finland": "Finnish", "Germany": "German", "Netherlands": "Dutch",
    "France": "French", "Spain": "Spanish", "Italy": "Italian", "Portugal": "Portuguese", "Poland": "Polish", "Austria": "Austrian",
    "Switzerland": "Swiss", "Belgium": "Belgian", "Ireland": "Irish", "UK": "British", "United Kingdom": "British", "USA": "American",
    "United States": "American", "Canada": "Canadian", "Mexico": "Mexican", "Brazil": "Brazilian", "Argentina": "Argentinian",
    "Chile": "Chilean", "India": "Indian", "China": "Chinese", "Japan": "Japanese", "Australia": "Australian", "Russia": "Russian",
    "Greece": "Greek", "Turkey": "Turkish", "Hungary": "Hungarian", "Iceland": "Icelandic", "South Korea": "South Korean",
    "Czech Republic": "Czech", "Venezuela": "Venezuelan",
}  # fmt: skip
# What people of a table do when they get a row of another: (did, never did).
DEEDS = {
    stem(noun): (did, base)
    for noun, did, base in [
        ("order", "placed an order", "placed an order"), ("purchase", "bought something", "bought anything"),
        ("review", "wrote a review", "written a review"), ("booking", "made a booking", "made a booking"),
        ("reservation", "made a reservation", "made a reservation"), ("visit", "paid a visit", "paid a visit"),
        ("rental", "rented something", "rented anything"), ("payment", "made a payment", "made a payment"),
        ("appointment", "had an appointment", "had an appointment"), ("donation", "made a donation", "made a donation"),
        ("loan", "took out a loan", "taken out a loan"), ("return", "returned something", "returned anything"),
        ("complaint", "filed a complaint", "filed a complaint"), ("ticket", "opened a ticket", "opened a ticket"),
    ]
}  # fmt: skip
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December",
)  # fmt: skip
WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
NUMBER_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
