import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from studies.quantities import PRESSURE, RATE, RESISTANCE, TIME, VOLUME, dimension_of


@pytest.mark.parametrize(
    ("dimension", "text", "si"),
    [
        (VOLUME, "10 mL", 1e-5),
        (VOLUME, "10mL", 1e-5),
        (VOLUME, "0.01 L", 1e-5),
        (VOLUME, " 1e1 cm^3 ", 1e-5),
        (VOLUME, "0 mL", 0.0),
        (PRESSURE, "4.4 mmHg", 4.4 * 133.322387415),
        (PRESSURE, "-0.6 kPa", -600.0),
        (PRESSURE, "6 cmH2O", 588.399),
        (RATE, "20 mL/min", 20e-6 / 60),
        (TIME, "10 min", 600.0),
        (TIME, "3 d", 259200.0),
        (RESISTANCE, "8.6 mmHg/(mL/min)", 8.6 * 133.322387415 * 60e6),
    ],
)
def test_text_with_unit_gives_si(dimension, text, si):
    assert dimension.parse(text) == pytest.approx(si, rel=1e-9, abs=1e-30)


def test_the_same_volume_in_other_units_is_the_same_number():
    assert len({VOLUME.parse(text) for text in ("10 mL", "0.01 L", "10 cm^3", "1e-5 m^3", "10000 uL")}) == 1


@pytest.mark.parametrize(
    "value",
    [
        10, 10.0, True, None, [], {}, "", "mL", "10", "10 apples", "10 mmHg", "nan mL", "inf mL", "-inf mL", "1e999 mL",
        "-1 mL", "151 mL", "10 mL + 5 mL", "10 mL; import os", "10 mL^9999999999", "9**9**9 mL", "10 m^3^3", "ten mL",
        "10 mL\n[x]", "10 " + "m" * 1000, "10 mL mL", "1_0 mL", "0x10 mL", "10 \x00", "٣ mL ٣",
    ],
)  # fmt: skip
def test_anything_else_is_refused(value):
    with pytest.raises(PydanticCustomError, match="allowed is a volume with its unit"):
        VOLUME.parse(value)


@settings(max_examples=300, deadline=None)
@given(st.floats(min_value=0.0, max_value=150.0, allow_nan=False))
def test_what_is_written_is_read_back_exactly(millilitres):
    si = VOLUME.parse(f"{millilitres!r} mL")
    assert VOLUME.parse(VOLUME.format(si)) == si


@settings(max_examples=200, deadline=None)
@given(
    st.floats(min_value=1e-14, max_value=1e9, allow_nan=False), st.sampled_from(["m^3/(Pa s)", "1/Pa", "Pa s", "mmHg"])
)
def test_every_unit_of_the_table_is_read_back_exactly(value, unit):
    dimension = dimension_of(unit)
    si = dimension.parse(f"{value!r} {unit}")
    assert math.isfinite(si)
    assert dimension.parse(dimension.format(si)) == si
