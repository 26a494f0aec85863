"""Nordlys Outdoor, the sample company: a database built from a seed, the same bytes of data on every machine.

No person or firm in it is real. Rows come from word lists and `random.Random.random()`, the one method whose
sequence Python promises to keep, so literals named in the committed pairs exist wherever the database is built.
"""

from __future__ import annotations

import math
import os
import random
import sqlite3
import tempfile
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
Row = tuple[Any, ...]

FIRST_DAY, LAST_DAY = date(2023, 1, 1), date(2025, 12, 31)
LAST_MOMENT = datetime(2025, 12, 31, 22)
CUSTOMERS, ORDERS, REVIEWS, TICKETS = 3000, 9000, 3600, 1800

CITIES = {
    "Norway": ("Oslo", "Bergen", "Trondheim", "Stavanger", "Tromso"),
    "Sweden": ("Stockholm", "Gothenburg", "Malmo", "Uppsala"),
    "Denmark": ("Copenhagen", "Aarhus", "Odense"),
    "Finland": ("Helsinki", "Tampere", "Turku"),
    "Germany": ("Hamburg", "Berlin", "Munich", "Cologne"),
    "Netherlands": ("Amsterdam", "Rotterdam", "Utrecht"),
}
COUNTRY_WEIGHTS = {"Norway": 30, "Sweden": 22, "Denmark": 14, "Finland": 10, "Germany": 16, "Netherlands": 8}
FIRST_NAMES = [
    "Anna",
    "Ingrid",
    "Nora",
    "Emma",
    "Sofie",
    "Maja",
    "Astrid",
    "Freja",
    "Linnea",
    "Elsa",
    "Karin",
    "Aino",
    "Helmi",
    "Hanna",
    "Lena",
    "Greta",
    "Mila",
    "Femke",
    "Sanne",
    "Lotte",
    "Ida",
    "Sara",
    "Julia",
    "Marta",
    "Eva",
    "Liv",
    "Signe",
    "Tuva",
    "Alma",
    "Vilde",
    "Erik",
    "Lars",
    "Olav",
    "Jonas",
    "Magnus",
    "Henrik",
    "Anders",
    "Nils",
    "Mikkel",
    "Oskar",
    "Axel",
    "Emil",
    "Viktor",
    "Onni",
    "Eero",
    "Juho",
    "Felix",
    "Lukas",
    "Paul",
    "Max",
    "Daan",
    "Bram",
    "Sven",
    "Jan",
    "Tom",
    "Leif",
    "Sigurd",
    "Even",
    "Aksel",
    "Isak",
]
LAST_NAMES = [
    "Hansen",
    "Johansen",
    "Olsen",
    "Larsen",
    "Berg",
    "Haugen",
    "Dahl",
    "Lund",
    "Moen",
    "Strand",
    "Bakke",
    "Solberg",
    "Andersson",
    "Lindberg",
    "Nilsson",
    "Eriksson",
    "Holm",
    "Sandberg",
    "Nystrom",
    "Ekman",
    "Jensen",
    "Nielsen",
    "Poulsen",
    "Madsen",
    "Kristensen",
    "Holst",
    "Virtanen",
    "Korhonen",
    "Laine",
    "Niemi",
    "Salo",
    "Heikkinen",
    "Schmidt",
    "Weber",
    "Fischer",
    "Becker",
    "Vogel",
    "Krause",
    "Brandt",
    "de_Vries",
    "Bakker",
    "Visser",
    "Smit",
    "Mulder",
    "Dekker",
    "Bos",
    "Vik",
    "Nygaard",
    "Aas",
    "Fossum",
    "Lie",
    "Rud",
    "Tveit",
    "Winther",
]
BRANDS = ("Varde", "Skarv", "Tindra", "Brekka", "Lyng", "Kvist", "Fonna", "Hald")
BRAND_PRICE = {"Varde": 1.3, "Skarv": 1.0, "Tindra": 1.15, "Brekka": 0.85, "Lyng": 0.75, "Kvist": 0.6, "Fonna": 1.5, "Hald": 0.95}
# Department: (category, typical price in euros, typical weight in grams, nouns).
CATALOGUE: dict[str, tuple[tuple[str, int, int, tuple[str, ...]], ...]] = {
    "Camping": (
        ("Tents", 290, 2900, ("Tent", "Tunnel Tent", "Tarp")),
        ("Sleeping Bags", 180, 1300, ("Sleeping Bag", "Down Bag", "Quilt")),
        ("Cooking", 60, 450, ("Stove", "Cook Set", "Kettle")),
        ("Sleeping Mats", 95, 600, ("Mat", "Air Mat")),
    ),
    "Clothing": (
        ("Jackets", 210, 520, ("Rain Jacket", "Down Jacket", "Softshell")),
        ("Trousers", 110, 430, ("Hiking Trousers", "Shell Trousers")),
        ("Base Layers", 65, 210, ("Wool Shirt", "Wool Leggings")),
        ("Gloves", 40, 110, ("Gloves", "Mittens")),
    ),
    "Footwear": (
        ("Hiking Boots", 185, 1250, ("Boot", "Winter Boot")),
        ("Trail Shoes", 130, 640, ("Trail Shoe", "Approach Shoe")),
        ("Socks", 18, 80, ("Socks", "Liner Socks")),
    ),
    "Packs": (
        ("Daypacks", 85, 750, ("Daypack", "Running Vest")),
        ("Trekking Packs", 195, 1900, ("Pack 55L", "Pack 70L")),
    ),
    "Climbing": (
        ("Ropes", 160, 3800, ("Rope 60m", "Rope 40m")),
        ("Harnesses", 75, 380, ("Harness",)),
        ("Helmets", 70, 300, ("Helmet",)),
    ),
    "Water": (
        ("Kayaks", 890, 22000, ("Kayak", "Packraft")),
        ("Dry Bags", 32, 190, ("Dry Bag 10L", "Dry Bag 30L")),
    ),
    "Electronics": (
        ("Headlamps", 55, 90, ("Headlamp",)),
        ("Navigation", 260, 210, ("GPS Unit", "GPS Watch")),
        ("Power Banks", 48, 240, ("Power Bank", "Solar Panel")),
    ),
}  # fmt: skip
SERIES = [
    "Ridge",
    "Fjord",
    "Summit",
    "Glacier",
    "Birch",
    "Storm",
    "Aurora",
    "Moss",
    "Granite",
    "Raven",
    "Tundra",
    "Ember",
    "Cove",
    "Larch",
    "Drift",
    "Otter",
    "Peak",
    "Heron",
    "Saga",
    "Willow",
    "Nimbus",
    "Basalt",
    "Juniper",
    "Loom",
]
SUPPLIERS = (
    ("Baltic Textiles", "Estonia"), ("Alpenfaser", "Austria"), ("Porto Shoeworks", "Portugal"), ("Hanoi Gear", "Vietnam"),
    ("Taipei Poles", "Taiwan"), ("Krakow Down", "Poland"), ("Vilnius Wool", "Lithuania"), ("Bergamo Ropes", "Italy"),
    ("Shenzhen Lumen", "China"), ("Ningbo Outdoor", "China"), ("Dhaka Stitch", "Bangladesh"), ("Izmir Cotton", "Turkey"),
    ("Bohemia Glass", "Czechia"), ("Lofoten Sails", "Norway"), ("Jamtland Leather", "Sweden"), ("Oulu Optics", "Finland"),
    ("Allgau Metal", "Germany"), ("Rhone Plastics", "France"), ("Galicia Boots", "Spain"), ("Tatra Tents", "Slovakia"),
    ("Saigon Shell", "Vietnam"), ("Guangzhou Power", "China"), ("Riga Packs", "Latvia"), ("Carpathia Wool", "Romania"),
    ("Dolomite Climb", "Italy"), ("Jutland Foam", "Denmark"), ("Masuria Boats", "Poland"), ("Cluj Electronics", "Romania"),
)  # fmt: skip
WAREHOUSES = (
    ("Oslo North", "Oslo", "Norway", 5200),
    ("Gothenburg Hub", "Gothenburg", "Sweden", 8400),
    ("Hamburg Port", "Hamburg", "Germany", 9600),
    ("Tampere Depot", "Tampere", "Finland", 2600),
    ("Rotterdam Dock", "Rotterdam", "Netherlands", 4100),
)
PROMOTIONS = (
    ("WINTER23", "Winter clearance", 20, "2023-01-10", "2023-02-05"), ("SPRING23", "Spring hike", 10, "2023-04-01", "2023-04-30"),
    ("CAMP23", "Camping weeks", 15, "2023-06-01", "2023-06-25"), ("BLACK23", "Black week", 30, "2023-11-20", "2023-11-27"),
    ("WINTER24", "Winter clearance", 25, "2024-01-08", "2024-02-04"), ("SPRING24", "Spring hike", 10, "2024-04-01", "2024-04-28"),
    ("MEMBER24", "Member days", 15, "2024-05-15", "2024-05-22"), ("CAMP24", "Camping weeks", 15, "2024-06-03", "2024-06-30"),
    ("BACK24", "Back to trail", 12, "2024-08-19", "2024-09-08"), ("BLACK24", "Black week", 30, "2024-11-25", "2024-12-02"),
    ("WINTER25", "Winter clearance", 25, "2025-01-07", "2025-02-02"), ("SPRING25", "Spring hike", 12, "2025-03-31", "2025-04-27"),
    ("MEMBER25", "Member days", 15, "2025-05-14", "2025-05-21"), ("CAMP25", "Camping weeks", 18, "2025-06-02", "2025-06-29"),
    ("BLACK25", "Black week", 35, "2025-11-24", "2025-12-01"), ("KAYAK25", "Paddle fest", 10, "2025-07-07", "2025-07-08"),
)  # fmt: skip
CARRIERS = ("PostNord", "Bring", "DHL", "GLS", "Budbee")
CARRIER_WEIGHTS = (34, 22, 21, 15, 8)
RETURN_REASONS = ("wrong size", "defective", "changed mind", "damaged in transit", "not as described")
TICKET_TOPICS = ("delivery", "return", "payment", "product question", "warranty", "account")
REVIEW_TEXTS = {
    1: ("Broke on the first trip.", "Not worth the money.", "The seam came apart after a week."),
    2: ("Runs small and feels cheap.", "Expected better for the price.", "Leaks in heavy rain."),
    3: ("Does the job.", "Decent, but heavy.", "Fine for short trips."),
    4: ("Good value.", "Comfortable and light.", "Very happy, wish it came in green."),
    5: ("Best purchase this year!", "Perfect fit and fully waterproof.", "Took it to the mountains, flawless."),
}
SEASON = (7, 6, 7, 8, 10, 12, 10, 8, 7, 6, 11, 10)  # orders per month, relative


class Dice:
    """Draws that use `random()` alone, so that no Python release changes them."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed).random

    def unit(self) -> float:
        return self._random()

    def chance(self, probability: float) -> bool:
        return self._random() < probability

    def integer(self, low: int, high: int) -> int:
        """An integer in [low, high]."""
        return low + int(self._random() * (high - low + 1))

    def pick(self, values: Sequence[T]) -> T:
        return values[int(self._random() * len(values))]

    def weighted(self, values: Sequence[T], weights: Sequence[float]) -> T:
        target = self._random() * sum(weights)
        for value, weight in zip(values, weights, strict=True):
            target -= weight
            if target < 0:
                return value
        return values[-1]

    def some(self, values: Sequence[T], count: int) -> list[T]:
        """`count` different values, in drawing order."""
        pool = list(values)
        return [pool.pop(int(self._random() * len(pool))) for _ in range(count)]

    def around(self, center: float, spread: float) -> float:
        """A value near `center`, log-normal with relative width `spread` (Box and Muller's transform)."""
        normal = math.sqrt(-2 * math.log(1 - self._random())) * math.cos(2 * math.pi * self._random())
        return center * math.exp(spread * normal)

    def day(self, first: date, last: date) -> date:
        return first + timedelta(days=self.integer(0, (last - first).days))


def build(database: Path, schema_file: Path, seed: int) -> Path:
    """Writes the sample database, unless it is there; two builders at once do not hurt each other.

    Args:
        database: Where the SQLite file shall lie.
        schema_file: The CREATE TABLE statements.
        seed: The committed pairs belong to seed 7.

    Returns:
        `database`.
    """
    if database.exists():
        return database
    database.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=database.parent, prefix=".company-", suffix=".sqlite")
    os.close(handle)
    try:
        with sqlite3.connect(name) as connection:
            connection.executescript(schema_file.read_text(encoding="utf-8"))
            for table, rows in company_rows(Dice(seed)).items():
                marks = ", ".join("?" * len(rows[0]))
                connection.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)
        connection.close()
        os.chmod(name, 0o644)
        os.replace(name, database)
    finally:
        Path(name).unlink(missing_ok=True)
    return database


def company_rows(dice: Dice) -> dict[str, list[Row]]:
    """All rows by table, in an order that satisfies the foreign keys."""
    tables: dict[str, list[Row]] = {}
    tables["stores"] = _stores(dice)
    tables["employees"] = _employees(dice, tables["stores"])
    tables["customers"] = _customers(dice)
    tables["categories"], leaves = _categories()
    tables["suppliers"] = [
        (i, name, country, dice.integer(7, 75), None if dice.chance(0.2) else round(dice.integer(22, 50) / 10, 1))
        for i, (name, country) in enumerate(SUPPLIERS, 1)
    ]
    tables["products"] = _products(dice, leaves)
    tables["product_suppliers"] = _product_suppliers(dice, tables["products"])
    tables["warehouses"] = [(i, *row) for i, row in enumerate(WAREHOUSES, 1)]
    tables["inventory"] = _inventory(dice, tables["products"])
    tables["promotions"] = [(i, *row) for i, row in enumerate(PROMOTIONS, 1)]
    tables |= _sales(dice, tables)
    tables["reviews"] = _reviews(dice, tables)
    tables["support_tickets"] = _tickets(dice, tables)
    return tables


def _stores(dice: Dice) -> list[Row]:
    rows: list[Row] = []
    for country, cities in CITIES.items():
        for position, city in enumerate(cities):
            kinds = ["flagship" if position == 0 else "standard"] + (["outlet"] if city in ("Oslo", "Hamburg", "Malmo", "Aarhus") else [])
            for kind in kinds:
                area = int({"flagship": 1800, "standard": 700, "outlet": 450}[kind] * (0.75 + 0.6 * dice.unit()))
                opened = dice.day(date(2008, 3, 1), date(2023, 9, 1))
                closed = dice.day(date(2024, 2, 1), date(2025, 10, 31)).isoformat() if city in ("Turku", "Odense", "Cologne") else None
                name = f"Nordlys {city}" + (" Outlet" if kind == "outlet" else "")
                rows.append((len(rows) + 1, name, city, country, kind, area, opened.isoformat(), closed))
    return rows


def _employees(dice: Dice, stores: list[Row]) -> list[Row]:
    rows: list[Row] = []

    def hire(title: str, store: Row | None, manager: int | None, salary: float) -> int:
        opened = date.fromisoformat(store[6]) if store else date(2008, 1, 15)
        closed = date.fromisoformat(store[7]) if store and store[7] else None
        hired = dice.day(max(opened, date(2010, 1, 1)), closed - timedelta(days=90) if closed else date(2025, 8, 31))
        left = None
        if closed:
            left = closed.isoformat()
        elif dice.chance(0.16) and hired < date(2024, 6, 1) and "Manager" not in title and title != "Managing Director":
            left = dice.day(hired + timedelta(days=200), date(2025, 11, 30)).isoformat()
        pay = round(dice.around(salary, 0.09) / 10) * 10.0
        number = len(rows) + 1
        rows.append((number, dice.pick(FIRST_NAMES), _last_name(dice), title, store and store[0], manager, hired.isoformat(), left, pay))
        return number

    head = hire("Managing Director", None, None, 11500)
    sales = hire("Head of Sales", None, head, 8200)
    support = hire("Support Manager", None, head, 5600)
    buying = hire("Head of Buying", None, head, 7900)
    for _ in range(9):
        hire("Support Agent", None, support, 3300)
    for _ in range(6):
        hire("Buyer", None, buying, 4700)
    for _ in range(4):
        hire("Data Analyst", None, head, 5200)
    for store in stores:
        manager = hire("Store Manager", store, sales, 5100 if store[4] == "flagship" else 4400)
        size = {"flagship": 7, "standard": 4, "outlet": 3}[store[4]]
        for _ in range(size + dice.integer(0, 2)):
            hire(dice.weighted(("Sales Associate", "Cashier", "Ski Technician"), (6, 3, 2)), store, manager, 3000)
    return rows


def _last_name(dice: Dice) -> str:
    return dice.pick(LAST_NAMES).replace("_", " ")


def _customers(dice: Dice) -> list[Row]:
    rows: list[Row] = []
    countries, weights = list(COUNTRY_WEIGHTS), list(COUNTRY_WEIGHTS.values())
    for number in range(1, CUSTOMERS + 1):
        country = dice.weighted(countries, weights)
        cities = CITIES[country]
        city = dice.weighted(cities, [len(cities) + 1 - i for i in range(len(cities))])
        first, last = dice.pick(FIRST_NAMES), _last_name(dice)
        email = None if dice.chance(0.06) else f"{first}.{last.replace(' ', '')}{number}@example.com".lower()
        born = None if dice.chance(0.12) else int(min(2006, max(1944, dice.around(1984, 0.0075))))
        signed = dice.day(date(2021, 1, 1), date(2025, 12, 20))
        tier = dice.weighted((None, "bronze", "silver", "gold"), (34, 36, 20, 10))
        referrer = dice.integer(1, number - 1) if number > 50 and dice.chance(0.14) else None
        rows.append((number, first, last, email, city, country, born, signed.isoformat(), tier, int(dice.chance(0.58)), referrer))
    return rows


def _categories() -> tuple[list[Row], dict[str, int]]:
    rows: list[Row] = []
    leaves: dict[str, int] = {}
    for department in CATALOGUE:
        rows.append((len(rows) + 1, department, None))
    for parent, categories in enumerate(CATALOGUE.values(), 1):
        for name, *_ in categories:
            rows.append((len(rows) + 1, name, parent))
            leaves[name] = len(rows)
    return rows, leaves


def _products(dice: Dice, leaves: dict[str, int]) -> list[Row]:
    rows: list[Row] = []
    for categories in CATALOGUE.values():
        for category, price, weight, nouns in categories:
            names = [f"{series} {noun}" for noun in nouns for series in SERIES]
            for name in dice.some(names, dice.integer(13, 22)):
                brand = dice.pick(BRANDS)
                list_price = max(6, round(dice.around(price * BRAND_PRICE[brand], 0.3))) - 0.05
                cost = round(list_price * (0.38 + 0.24 * dice.unit()), 2)
                grams = None if dice.chance(0.07) else int(dice.around(weight, 0.25))
                launched = dice.day(date(2018, 2, 1), date(2025, 9, 30))
                gone = dice.chance(0.13) and launched < date(2024, 1, 1)
                discontinued = dice.day(date(2024, 3, 1), date(2025, 12, 1)).isoformat() if gone else None
                number = len(rows) + 1
                sku = f"{category[:2].upper()}-{1000 + number * 7}"
                rows.append(
                    (number, sku, name, brand, leaves[category], round(list_price, 2), cost, grams, launched.isoformat(), discontinued)
                )
    return rows


def _product_suppliers(dice: Dice, products: list[Row]) -> list[Row]:
    rows: list[Row] = []
    for product in products:
        suppliers = dice.some(range(1, len(SUPPLIERS)), dice.weighted((1, 2, 3), (5, 4, 2)))  # the last supplier has no product yet
        for rank, supplier in enumerate(suppliers):
            rows.append((product[0], supplier, round(product[6] * (0.7 + 0.25 * dice.unit()), 2), int(rank == 0)))
    return rows


def _inventory(dice: Dice, products: list[Row]) -> list[Row]:
    rows: list[Row] = []
    for warehouse in range(1, len(WAREHOUSES) + 1):
        for product in products:
            if dice.chance(0.78):
                quantity = 0 if dice.chance(0.06) else int(dice.around(60, 0.8))
                counted = None if dice.chance(0.05) else dice.day(date(2025, 1, 6), date(2025, 12, 19)).isoformat()
                rows.append((warehouse, product[0], quantity, dice.integer(2, 8) * 5, counted))
    return rows


def _sales(dice: Dice, tables: dict[str, list[Row]]) -> dict[str, list[Row]]:
    """Orders with their items, payments, shipments and returns."""
    orders: list[Row] = []
    items: list[Row] = []
    payments: list[Row] = []
    shipments: list[Row] = []
    returns: list[Row] = []
    products = tables["products"]
    popularity = [dice.around(1, 0.9) / math.sqrt(p[5]) for p in products]
    sellers = {s[0]: [e for e in tables["employees"] if e[4] == s[0] and e[3] != "Store Manager"] for s in tables["stores"]}
    customers = [c for c in tables["customers"] if not dice.chance(0.08)]  # some never bought anything
    for moment in _order_times(dice):
        day = moment.date().isoformat()
        customer = dice.pick(customers)
        while customer[7] > day:
            customer = dice.pick(customers)
        number = len(orders) + 1
        open_stores = [s for s in tables["stores"] if s[6] <= day and (s[7] is None or s[7] > day)]
        nearby = [s for s in open_stores if s[3] == customer[5]]
        channel = dice.weighted(("web", "app", "store"), (46, 22, 32 if nearby else 0))
        store = dice.pick(nearby) if channel == "store" else None
        staff = [e for e in sellers[store[0]] if e[6] <= day and (e[7] is None or e[7] > day)] if store else []
        seller = dice.pick(staff)[0] if staff and dice.chance(0.93) else None
        promotion = next((p for p in tables["promotions"] if p[4] <= day <= p[5] and p[1] != "KAYAK25" and dice.chance(0.55)), None)
        status = _order_status(dice, moment, channel)
        basket = dice.weighted((1, 2, 3, 4, 5), (34, 29, 19, 11, 7))
        on_sale = [(p, w) for p, w in zip(products, popularity, strict=True) if p[8] <= day and (p[9] is None or p[9] > day)]
        total = 0.0
        first_item = len(items) + 1
        for product in dict.fromkeys(dice.weighted([p for p, _ in on_sale], [w for _, w in on_sale]) for _ in range(basket)):
            discount = promotion[3] / 100 if promotion else (0.05 if customer[8] == "gold" else 0.0)
            earlier = 1 - 0.03 * (2025 - moment.year)  # list prices rose
            price = round(product[5] * earlier * (1 - discount), 2)
            quantity = dice.weighted((1, 2, 3, 4), (78, 15, 5, 2))
            total += price * quantity
            items.append((len(items) + 1, number, product[0], quantity, price))
        fee = 0.0 if channel == "store" or total >= 100 else 4.9 if total >= 50 else 7.9
        orders.append(
            (number, customer[0], channel, store and store[0], seller, promotion and promotion[0], status, moment.isoformat(" "), fee)
        )
        payments += _payments(dice, len(payments), number, moment, channel, status, round(total + fee, 2))
        if channel != "store" and status in ("shipped", "delivered"):
            shipments.append(_shipment(dice, len(shipments) + 1, number, moment, customer[5], status))
        if status == "delivered":
            for item in items[first_item - 1 :]:
                if dice.chance(0.075):
                    returns.append(_return(dice, len(returns) + 1, item, moment))
    return {"orders": orders, "order_items": items, "payments": payments, "shipments": shipments, "returns": returns}


def _order_times(dice: Dice) -> Iterable[datetime]:
    days = [FIRST_DAY + timedelta(days=i) for i in range((LAST_DAY - FIRST_DAY).days + 1)]
    growth = {2023: 0.8, 2024: 1.0, 2025: 1.2}
    weights = [SEASON[d.month - 1] * growth[d.year] * (1.3 if d.weekday() >= 4 else 1.0) for d in days]
    steps, total = [], 0.0
    for weight in weights:
        total += weight
        steps.append(total)
    moments = []
    for _ in range(ORDERS):
        target = dice.unit() * total
        low, high = 0, len(steps) - 1
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if steps[middle] <= target else (low, middle)
        moments.append(datetime.combine(days[low], datetime.min.time()) + timedelta(seconds=dice.integer(8 * 3600, 22 * 3600)))
    return sorted(moments)


def _order_status(dice: Dice, moment: datetime, channel: str) -> str:
    if dice.chance(0.055):
        return "cancelled"
    if channel == "store":
        return "delivered"
    age_days = (LAST_DAY - moment.date()).days
    if age_days <= 3:
        return "pending"
    if age_days <= 12:
        return dice.weighted(("pending", "shipped", "delivered"), (2, 5, 4))
    return "delivered"


def _payments(dice: Dice, count: int, order: int, moment: datetime, channel: str, status: str, total: float) -> list[Row]:
    rows: list[Row] = []
    method = dice.weighted(("card", "invoice", "mobile", "gift_card"), (52, 0 if channel == "store" else 18, 24, 6))
    if dice.chance(0.035):
        rows.append((count + 1, order, method, total, "failed", None))
        method = "card" if method != "card" else "mobile"
    if status == "pending" and dice.chance(0.4):
        return rows
    paid = moment + timedelta(minutes=dice.integer(0, 9), days=dice.integer(3, 20) if method == "invoice" else 0)
    if paid > LAST_MOMENT:
        return rows
    rows.append((count + len(rows) + 1, order, method, total, "refunded" if status == "cancelled" else "captured", paid.isoformat(" ")))
    return rows


def _shipment(dice: Dice, number: int, order: int, moment: datetime, country: str, status: str) -> Row:
    near = [i for i, w in enumerate(WAREHOUSES, 1) if w[2] == country]
    warehouse = near[0] if near and dice.chance(0.7) else dice.integer(1, len(WAREHOUSES))
    carrier = dice.weighted(CARRIERS, CARRIER_WEIGHTS)
    shipped = moment + timedelta(hours=dice.integer(5, 80))
    delivered = shipped + timedelta(hours=dice.integer(20, 150) + (30 if carrier == "GLS" else 0))
    arrived = min(delivered, LAST_MOMENT).isoformat(" ") if status == "delivered" else None
    return (number, order, warehouse, carrier, min(shipped, LAST_MOMENT).isoformat(" "), arrived, round(dice.around(6.4, 0.35), 2))


def _return(dice: Dice, number: int, item: Row, moment: datetime) -> Row:
    quantity = 1 if item[3] == 1 or dice.chance(0.6) else item[3]
    returned = min(moment.date() + timedelta(days=dice.integer(6, 38)), LAST_DAY)
    reason = dice.weighted(RETURN_REASONS, (38, 17, 24, 9, 12))
    inspected = returned < date(2025, 12, 15) and not dice.chance(0.05)
    refund = round(item[4] * quantity * (0.8 if reason == "changed mind" else 1.0), 2) if inspected else None
    return (number, item[0], quantity, reason, returned.isoformat(), refund)


def _reviews(dice: Dice, tables: dict[str, list[Row]]) -> list[Row]:
    rows: list[Row] = []
    orders = tables["orders"]
    items = tables["order_items"]
    quality = [dice.around(3.9, 0.13) for _ in tables["products"]]
    for number in range(1, REVIEWS + 1):
        item = dice.pick(items)
        order = orders[item[1] - 1]
        rating = min(5, max(1, round(quality[item[2] - 1] + 4.6 * (dice.unit() - 0.5))))
        written = min(datetime.fromisoformat(order[7]).date() + timedelta(days=dice.integer(5, 60)), LAST_DAY)
        body = None if dice.chance(0.35) else dice.pick(REVIEW_TEXTS[rating])
        rows.append((number, item[2], order[1], rating, body, written.isoformat()))
    return rows


def _tickets(dice: Dice, tables: dict[str, list[Row]]) -> list[Row]:
    rows: list[Row] = []
    agents = [e for e in tables["employees"] if e[3] == "Support Agent"]
    for number in range(1, TICKETS + 1):
        order = dice.pick(tables["orders"])
        opened = min(datetime.fromisoformat(order[7]) + timedelta(hours=dice.integer(2, 500)), datetime(2025, 12, 31, 18))
        day = opened.date().isoformat()
        topic = dice.weighted(TICKET_TOPICS, (32, 22, 14, 15, 10, 7))
        priority = dice.weighted(("low", "normal", "high"), (25, 58, 17))
        working = [a for a in agents if a[6] <= day and (a[7] is None or a[7] > day)]
        agent = dice.pick(working)[0] if working and not dice.chance(0.04) else None
        still_open = agent is None or (opened > datetime(2025, 12, 10) and dice.chance(0.5)) or dice.chance(0.015)
        closed = None if still_open else opened + timedelta(hours=dice.integer(1, 40 if priority == "high" else 120))
        closed = closed if closed and closed <= LAST_MOMENT else None
        happy = None if closed is None or dice.chance(0.45) else dice.weighted((1, 2, 3, 4, 5), (6, 9, 18, 35, 32))
        about = order[0] if topic not in ("account", "product question") else None
        rows.append((number, order[1], about, agent, topic, priority, opened.isoformat(" "), closed and closed.isoformat(" "), happy))
    return rows
