"""The anatomy table: heights, windows, overrides, and anatomy that cannot be."""

from __future__ import annotations

import csv
import math
import re
from pathlib import Path

import numpy as np
import pytest

import geometry
from geometry import Anatomy, AnatomyError
from geometry.limits import LEAST_PEDICLE

DATA = Path(geometry.__file__).parent / "data"


def test_levels_stack_from_the_caudal_end(anatomy: Anatomy) -> None:
    assert anatomy.level_bounds[-1, 0] == 0.0
    assert anatomy.length == pytest.approx(anatomy.column("segment_length").sum())
    assert anatomy.interspace_z("L3/L4") == pytest.approx(1e-3 * (33.9 + 34.0 + 30.0 + 25.0))
    assert anatomy.level_z("S2") == pytest.approx(0.0125)


@pytest.mark.parametrize(
    ("interspaces", "span"),
    [
        (["L3/L4"], ("T10", "S2")),
        (["L3/L4", "T8/T9"], ("T3", "S2")),
        (["C2/C3"], ("C2", "T1")),
        (["T8/T9"], ("T3", "L2")),
    ],
)
def test_window_reaches_six_segments_and_ends_with_the_anatomy(
    anatomy: Anatomy, interspaces: list[str], span: tuple[str, str]
) -> None:
    assert anatomy.window(interspaces) == span


@pytest.mark.parametrize("size", [("T10", "S2"), ("C2", "S2"), ("L3", "L3")])
def test_span_bounds(anatomy: Anatomy, size: tuple[str, str]) -> None:
    low, high = anatomy.span_bounds(size)
    lengths = [anatomy.value(level, "segment_length") for level in anatomy.span_levels(size)]
    assert high - low == pytest.approx(sum(lengths))


def test_every_figure_has_a_tag_and_a_source(anatomy: Anatomy) -> None:
    for key, value in anatomy.figures.items():
        if math.isfinite(value):
            assert anatomy.sources[key].tag, key
            assert anatomy.sources[key].source, key


@pytest.mark.parametrize("name", ["shape.csv", "cord_position.csv", "published_volumes.csv"])
def test_every_row_of_the_small_tables_has_a_tag(name: str) -> None:
    with (DATA / name).open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            assert row["tag"] in {"seen", "derived", "recalled", "interpolated", "assumed"}, row


def test_override_changes_one_figure_and_says_so(anatomy: Anatomy) -> None:
    changed = Anatomy.from_table({"L3": {"sac_ap": 0.013}, "L3/L4": {"recess_depth": 0.004}})
    different = {k for k, v in changed.figures.items() if not np.isclose(v, anatomy.figures[k], equal_nan=True)}
    assert different == {("L3", "sac_ap"), ("L3/L4", "recess_depth")}
    assert changed.sources["L3", "sac_ap"].tag == "override"


def test_a_trefoil_keeps_its_form_when_its_diameters_change(anatomy: Anatomy) -> None:
    changed = Anatomy.from_table({"L4": {"canal_trans": 0.026}})
    ratio = changed.value("L4", "canal_area") / anatomy.value("L4", "canal_area")
    assert ratio == pytest.approx(26.0 / 24.0)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"L3": {"sac_trans": 0.025}}, "L3: sac 25.0 mm wide does not fit the canal, 23.0 mm wide"),
        ({"T5": {"cord_ap": 0.020}}, "T5: cord 20.0 mm deep does not fit the sac, 12.3 mm deep"),
        ({"T5": {"cord_ap": 0.0120}}, "T5: cord 12.0 mm deep does not fit the sac, 12.3 mm deep; a gap of 0.50 mm"),
        ({"L2": {"canal_area": 2.0e-4}}, "L2: canal area 200 mm2 does not fit"),
        ({"L2": {"cord_ap": 0.003}}, "L2: cord_ap cannot be set, the cord ends above"),
        ({"L3": {"sacap": 0.01}}, "L3: quantity 'sacap' is unknown; did you mean 'sac_ap'"),
        ({"L6": {"sac_ap": 0.01}}, "level 'L6' is unknown"),
        ({"L3": {"sac_ap": math.nan}}, "L3: sac_ap is nan"),
        ({"L3": {"sac_ap": -0.01}}, "L3: sac_ap is -0.01"),
        ({"L3": {"segment_length": 0.0}}, "L3: segment_length is 0.0"),
        ({"C5/C6": {"foramen_height": 0.020}}, "C5/C6: foramen 20.0 mm high does not fit between the pedicles"),
        ({"C5/C6": {"root_diameter": 0.010}}, "C5/C6: root 10.0 mm thick does not fit the foramen"),
        (
            {"L3/L4": {"foramen_height": 0.0045}},
            "L3/L4: root 4.3 mm thick does not fit the foramen, 4.5 mm high; a gap",
        ),
        ({"L3/L4": {"root_diameter": 1e-5}}, "L3/L4: root 0.01 mm thick is no root; allowed is from 0.5 mm"),
        ({"L3/L4": {"foramen_width": 0.004}}, "L3/L4: root 4.3 mm thick does not fit the foramen, 4.0 mm wide"),
        ({"L3/L4": {"foramen_width": 0.020}}, "wider than the canal of L4 is deep; allowed is up to 15.6 mm"),
        ({"L3/L4": {"foramen_width": 0.0}}, "L3/L4: foramen_width is 0.0, it must be positive"),
        (
            {"L3": {"segment_length": 0.012}},
            "L2/L3: foramen 20.4 mm high does not fit between the pedicles; L3 is 12.0 mm",
        ),
        (
            {"L3/L4": {"recess_depth": 0.015}},
            "L3/L4: recess 15.0 mm deep does not fit the interlaminar window, 24.5 mm",
        ),
        (
            {"L3": {"canal_trans": 0.057}},
            "L2/L3: canal 22.3 mm wide at L2 and 57.0 mm at L3, 35.6 mm apart; allowed is a",
        ),
        ({"T5": {"canal_ap": 0.100}}, "T4/T5: canal 15.4 mm deep at T4 and 100.0 mm at T5"),
        ({"L4": {"segment_length": 0.0581}}, "L4: segment 58.1 mm long is nobody's; allowed is up to 58.0 mm"),
        ({"T5": {"cord_ap": 1e-4}}, "T5: cord 0.1 mm deep is thinner than its end; allowed is from 2.0 mm"),
        (
            {"L3": {"sac_trans": 1e-3}},
            "L3: sac 1.0 mm wide has no room for the end of the cord, 2.0 mm, and 0.5 mm of CSF",
        ),
        (
            {"T5": {"sac_trans": 0.00884}},
            "T5: cord 7.8 mm by 5.6 mm, 2.5 mm off the middle, does not fit the sac, 8.8 mm",
        ),
    ],
)
def test_impossible_anatomy_is_refused_by_level_and_figures(
    overrides: dict[str, dict[str, float]], message: str
) -> None:
    with pytest.raises(AnatomyError) as caught:
        Anatomy.from_table(overrides)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_foramina_leave_bone_between_them(anatomy: Anatomy) -> None:
    """Each alone would fit between pedicle planes as far apart as two half segments; together they overlap."""
    with pytest.raises(AnatomyError, match=r"does not fit between the pedicles; L3 is 24\.0 mm high"):
        Anatomy.from_table({"L3": {"segment_length": 0.024}, "L3/L4": {"foramen_height": 0.026}})
    changed = Anatomy.from_table({"L3": {"segment_length": 0.024}})
    for level, above, below in zip(changed.levels[1:-1], changed.interspaces, changed.interspaces[1:], strict=False):
        heights = changed.value(above, "foramen_height") + changed.value(below, "foramen_height")
        assert changed.value(level, "segment_length") - 0.5 * heights >= LEAST_PEDICLE


def test_a_limit_in_words_is_itself_allowed() -> None:
    for place, key in (("L3/L4", "recess_depth"), ("T1/T2", "foramen_width"), ("T8/T9", "recess_depth")):
        with pytest.raises(AnatomyError) as caught:
            Anatomy.from_table({place: {key: 0.1}})
        allowed = re.search(r"allowed is up to ([\d.]+) mm$", str(caught.value))
        assert allowed, caught.value
        Anatomy.from_table({place: {key: 1e-3 * float(allowed[1])}})


def test_unknown_places_are_refused(anatomy: Anatomy) -> None:
    with pytest.raises(AnatomyError, match="interspace 'L3/L5' is unknown"):
        anatomy.interspace_z("L3/L5")
    with pytest.raises(AnatomyError, match="runs upwards"):
        anatomy.span_levels(("S2", "T10"))
    with pytest.raises(AnatomyError, match="is unknown"):
        anatomy.level_z("L9")


@pytest.mark.parametrize("content", ["", "level,canal_ap_mm\nL3,15\n", "\0\0"])
def test_a_table_that_cannot_be_used_is_refused(tmp_path: Path, content: str) -> None:
    table = tmp_path / "levels.csv"
    table.write_text(content)
    with pytest.raises(AnatomyError, match="anatomy table"):
        Anatomy.from_table(table=table)
    with pytest.raises(AnatomyError, match="cannot be read"):
        Anatomy.from_table(table=tmp_path / "missing.csv")


def test_a_table_of_some_levels_works(tmp_path: Path) -> None:
    lines = (DATA / "levels.csv").read_text(encoding="utf-8").splitlines()
    table = tmp_path / "levels.csv"
    table.write_text("\n".join([lines[0], *(line for line in lines if line.startswith("T"))]), encoding="utf-8")
    anatomy = Anatomy.from_table(table=table)
    assert anatomy.levels[0] == "T1"
    assert anatomy.interspaces[-1] == "T11/T12"
    assert anatomy.sac_end_z == -math.inf
