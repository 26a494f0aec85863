import pytest

from t2s.sql.naming import plural, singular, spoken, stem, words


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("orderItems_v2", ["order", "items", "v", "2"]),
        ("HTTPServer", ["http", "server"]),
        ("order details", ["order", "details"]),
        ("CUSTOMER_ID", ["customer", "id"]),
        ("größe", ["größe"]),
        ("ÄnderungsDatum", ["änderungs", "datum"]),
        ("数量", ["数量"]),
        ("___", []),
    ],
)
def test_a_name_falls_into_its_words(name, expected):
    assert words(name) == expected


def test_short_forms_are_said_in_full_and_a_name_without_words_stays():
    assert spoken("cust_addr") == "customer address"
    assert spoken("%%") == "%%"


def test_inflected_forms_share_a_stem():
    assert stem("categories") == stem("Category")
    assert stem("orders") == stem("ordered")


@pytest.mark.parametrize(("one", "many"), [("category", "categories"), ("order item", "order items"), ("person", "people")])
def test_one_and_several(one, many):
    assert (singular(many), singular(one)) == (one, one)
    assert (plural(one), plural(many)) == (many, many)
