"""What the figures of relief draw of a row: whole controls, intervals, bars that end where the computation did."""

import dataclasses

import pytest
from matplotlib.text import Annotation

from studies.plot.style import styled
from studies.relief.data import relief_rows
from studies.relief.figure import DURATION, IN_PART, RISE, TITLES, relief_figure, relief_figures
from studies.relief.predicted import Band, Held, Prediction

ROWS = {row.row_id: row for row in relief_rows()}
GIVEN = Prediction(
    rise=Band(6.0, 4.0, 8.0), at_shares=None, half_decay=Band(120.0, 60.0, 240.0), half_decay_open=False,
    coverage=Band(0.5, 0.0, 1.0), volume_mL=(15.0, 30.0), cut=False, coverage_cut=False, assumed_volume=False,
    stand_in=False, levels=("L3/L4",), approaches=("interlaminar",), words="",
)  # fmt: skip


def drawn(name, row_id="paech-20", **changes):
    """A figure and its caption with one row beside a control, and the arrows in it: from where, and their colour."""
    nothing = dataclasses.replace(GIVEN, rise=Band(0.0, 0.0, 0.0), half_decay=None, coverage=None)
    held = [
        Held(ROWS[row_id], dataclasses.replace(GIVEN, **changes), ""),
        Held(ROWS["vankooten-control-early"], nothing, ""),
    ]
    with styled():
        figure, caption = relief_figures(held, list(ROWS.values()))[name]
        figure.draw_without_rendering()
    arrows = [t for axes in figure.axes for t in axes.texts if isinstance(t, Annotation) and t.arrow_patch]
    return figure, caption, arrows


def entries(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


@pytest.mark.parametrize("name", ["relief", "relief_coverage", "volume"])
def test_a_control_at_nothing_is_drawn_whole(name):
    if name == "volume":
        with styled():
            figure, _ = relief_figure([Held(ROWS["vankooten-control-early"], None, "")], list(ROWS.values()))
            figure.draw_without_rendering()
    else:
        figure, *_ = drawn(name)
    ((axes, marker),) = [(axes, line) for axes in figure.axes for line in axes.get_lines() if line.get_marker() == "X"]
    room = axes.transData.transform((0.0, 0.0))[0] - axes.bbox.x0
    assert room * 72 / figure.dpi > 0.5 * (marker.get_markersize() + marker.get_markeredgewidth())


def test_vertical_bars_are_explained_and_no_title_says_more_than_its_rows():
    figure, *_ = drawn("relief")
    assert "95 % interval (binomial)" in entries(figure)
    assert "within 3 d" in ROWS["yoon-pdph"].use_reason
    assert ROWS["yoon-pdph"].window == "unclear"
    assert TITLES["unclear"] == "time not stated or between"


@pytest.mark.parametrize(
    ("name", "changes", "ends"),
    [
        ("relief", {}, []),
        ("relief", {"cut": True}, [(8.0, 1)]),
        ("relief", {"half_decay_open": True}, []),
        ("relief_duration", {"half_decay_open": True}, [(4.0, 1)]),
        ("relief_duration", {"cut": True}, [(1.0, -1)]),  # more volume decays faster
        ("relief_coverage", {"cut": True, "half_decay_open": True}, []),
    ],
)
def test_a_bar_that_ends_where_the_computation_did_goes_on_with_an_arrow(name, changes, ends):
    figure, caption, arrows = drawn(name, **changes)
    found = []
    for arrow in arrows:
        tip = arrow.xycoords.transform(arrow.xy)[0]
        tail = arrow.axes.transData.transform(arrow.xyann)[0]
        found.append((arrow.xyann[0], 1 if tip > tail else -1))
    assert found == ends
    assert ("goes on, not computed" in entries(figure)) == bool(ends)
    assert ("Arrow:" in caption) == bool(ends)
    if ends:
        assert (RISE if name == "relief" else DURATION).open_words in caption


def test_a_coverage_of_a_part_of_the_volumes_is_named():
    """At which end it is cut is not known, so that no arrow may point there; a bar over everything says so itself."""
    for coverage, changes, told in (
        (Band(1.0, 1.0, 1.0), {"coverage_cut": True}, True),
        (Band(0.5, 0.0, 1.0), {"coverage_cut": True}, False),
        (Band(1.0, 1.0, 1.0), {"cut": True}, False),
    ):
        figure, caption, arrows = drawn("relief_coverage", coverage=coverage, **changes)
        texts = [text.get_text() for axes in figure.axes for text in axes.texts]
        assert (f"{IN_PART}: 1" in texts) == told
        assert ("Computed in part: for a part of the row's volumes only." in caption) == told
        assert not arrows
