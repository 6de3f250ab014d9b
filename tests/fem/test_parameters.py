import csv

import pytest

from fem.materials import TABLE, Materials, parameter_table

TAGS = {"seen", "derived", "recalled", "assumed", "interpolated", "calibrated"}


def test_every_default_has_a_range_a_source_and_a_tag():
    for row in parameter_table().values():
        assert row.source.strip(), row.key
        assert row.tag in TAGS, row.key
        assert row.low <= row.value <= row.high, row.key


def test_table_has_no_key_twice():
    with TABLE.open(newline="", encoding="utf-8") as stream:
        keys = [row["key"] for row in csv.DictReader(stream)]
    assert len(keys) == len(set(keys))


def test_every_row_of_the_table_reaches_a_law():
    """A parameter that changes no law would be a default that lies."""
    plain = Materials.from_table()
    for key, row in parameter_table().items():
        changed = Materials.from_table({key: row.value * 1.5 + 1e-3})
        parts = [name for name in vars(plain) if name != "values"]
        assert any(getattr(plain, name) != getattr(changed, name) for name in parts), key


def test_an_unknown_parameter_is_refused():
    with pytest.raises(KeyError, match=r"fat\.colour"):
        Materials.from_table({"fat.colour": 1.0})
