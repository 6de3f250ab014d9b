"""What the figures of relief draw of a row: whole controls, intervals, bars that end where the computation did."""

import dataclasses
import itertools

import numpy as np
import pytest
from matplotlib.text import Annotation
from scipy import stats

from studies.plot.style import styled
from studies.protocols import Outcome
from studies.relief.figure import (
    COVERAGE,
    DURATION,
    IN_PART,
    POINT,
    RISE,
    ROOM,
    SHARE_BAR,
    TITLES,
    _spread,
    relief_figure,
    relief_figures,
)
from studies.relief.predicted import Band, Held, Prediction, hold, predict
from studies.relief.table import row_table
from studies.spinalshare import ratios
from tests.studies.relieving import BY_NAME, ROWS, RUNS, leaking, run

GIVEN = Prediction(
    rise=Band(6.0, 4.0, 8.0), at_shares=None, half_decay=Band(120.0, 60.0, 240.0), half_decay_open=False,
    coverage=Band(0.5, 0.0, 1.0), volume_mL=(15.0, 30.0), cut=False, coverage_cut=False, assumed_volume=False,
    stand_in=False, levels=("L3/L4",), approaches=("interlaminar",), words="",
)  # fmt: skip


def drawn(name, row_id="paech-20", **changes):
    """A figure and its caption with one row beside a control, and the arrows in it: from where, and their colour."""
    nothing = dataclasses.replace(GIVEN, rise=Band(0.0, 0.0, 0.0), half_decay=None, coverage=None)
    held = [
        Held(BY_NAME[row_id], dataclasses.replace(GIVEN, **changes), ""),
        Held(BY_NAME["vankooten-control-early"], nothing, ""),
    ]
    with styled():
        figure, caption = relief_figures(held, ROWS)[name]
        figure.draw_without_rendering()
    arrows = [t for axes in figure.axes for t in axes.texts if isinstance(t, Annotation) and t.arrow_patch]
    return figure, caption, arrows


def entries(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


@pytest.mark.parametrize("name", ["relief", "relief_coverage", "volume"])
def test_a_control_at_nothing_is_drawn_whole(name):
    if name == "volume":
        with styled():
            figure, _ = relief_figure([Held(BY_NAME["vankooten-control-early"], None, "")], ROWS)
            figure.draw_without_rendering()
    else:
        figure, *_ = drawn(name)
    ((axes, marker),) = [(axes, line) for axes in figure.axes for line in axes.get_lines() if line.get_marker() == "X"]
    room = axes.transData.transform((0.0, 0.0))[0] - axes.bbox.x0
    assert room * 72 / figure.dpi > 0.5 * (marker.get_markersize() + marker.get_markeredgewidth())


def test_vertical_bars_are_explained_and_no_title_says_more_than_its_rows():
    figure, *_ = drawn("relief")
    assert "95 % interval (binomial)" in entries(figure)
    assert "within 3 d" in BY_NAME["yoon-pdph"].use_reason
    assert BY_NAME["yoon-pdph"].window == "unclear"
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


@pytest.mark.parametrize("runs", [RUNS, []])
def test_figure_shows_every_row_once(runs, tmp_path):
    held = hold(ROWS, runs)
    with styled():
        figure, caption = relief_figure(held, ROWS)
        figure.savefig(tmp_path / "relief.png")
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    for number, item in enumerate(held, 1):
        assert any(f"{number} {item.row.name}" in text for text in texts)
        shown = sum(text == str(number) for text in texts)
        skipped = sum(str(number) in text.split(": ")[-1].split(", ") for text in texts if "no prediction" in text)
        assert shown + skipped == 1, number
    assert "cannot be told" in caption
    assert ("no predictions" in caption) == (not runs)


def test_markers_of_unreported_volumes_make_no_trend():
    for runs in (RUNS, []):
        members = [item for item in hold(ROWS, runs) if item.row.syndrome == "SIH" and item.row.window == "unclear"]
        places = _spread(members, ROWS, RISE if runs else None)
        assert len(places) >= 6
        by_relief = sorted((item for item in members if item.row.row_id in places), key=lambda i: i.row.relief_pct)
        shifts = [places[item.row.row_id] for item in by_relief]
        steps = [b - a for a, b in itertools.pairwise(shifts)]
        assert any(step > 0 for step in steps)
        assert any(step < 0 for step in steps)
        assert abs(stats.spearmanr(range(len(shifts)), shifts).statistic) < 0.5


def test_relief_is_also_drawn_against_duration_and_coverage_where_they_are_predicted():
    half = {"csf_pressure_half_decay_s": 300.0}
    covered = leaking("pdph", "L3/L4", "L3/L4", csf_pressure_rise_mmHg=4.0, leak_coverage=0.8, **half)
    held = hold(ROWS, [covered])
    with styled():
        drawn = relief_figures(held, ROWS)
        assert set(relief_figures(hold(ROWS, RUNS), ROWS)) == {"relief", "relief_duration"}
    assert set(drawn) == {"relief", "relief_duration", "relief_coverage"}
    paech = next(item for item in held if item.row.row_id == "paech-20")
    assert paech.coverage == pytest.approx(0.8)
    figure, caption = drawn["relief_coverage"]
    lines = [line for axes in figure.axes for line in axes.get_lines() if line.get_marker() == "o"]
    (marker,) = (line for line in lines if np.allclose(line.get_ydata(), 32.0))
    assert 80.0 - 2 * POINT * COVERAGE.right <= marker.get_xdata()[0] <= 80.0
    shown = [line for line in marker.axes.get_lines() if line.get_marker() in ("o", "s", "^")]
    assert len({round(line.get_xdata()[0], 6) for line in shown}) >= min(len(shown), 3) > 2  # all bars end at 80 %
    assert "covered" in caption
    frame = row_table(held).set_index("row_id")
    assert frame.loc["paech-20", "predicted_half_decay_s"] == pytest.approx(300.0)


def test_rises_are_drawn_with_the_band_of_the_spinal_share():
    low, high = ratios()["csf_pressure_rise_mmHg"]
    held = hold(ROWS, RUNS)
    with styled():
        drawn = relief_figures(held, ROWS)
    figure, caption = drawn["relief"]
    bars = [line for axes in figure.axes for line in axes.get_lines() if line.get_linewidth() == SHARE_BAR["lw"]]
    assert len(bars) == sum(item.prediction is not None and not item.row.control_kind for item in held)
    (bar,) = [line for line in bars if line.get_ydata()[0] == 32.0]  # Paech, 20 mL: 6 mmHg
    assert list(bar.get_xdata()) == pytest.approx([6.0 * low, 6.0 * high])
    assert "at spinal share 0.32 to 0.69" in [text.get_text() for text in figure.legends[0].get_texts()]
    assert "spinal share" in caption
    assert "spinal share" not in drawn["relief_duration"][1]
    own = run("L3/L4", 20.0, 6.0)
    csf = own.case.csf.model_copy(update={"spinal_share": 0.32})
    given = Outcome(own.case.model_copy(update={"csf": csf}), own.path, "done", "", own.summary, own.series)
    assert predict(BY_NAME["paech-20"], ROWS, [given]).at_shares is None


def test_every_axis_begins_where_its_markers_may_stand_and_names_controls(tmp_path):
    runs = [*RUNS, *(leaking("pdph", "L3/L4", "L3/L4", v, leak_coverage=0.9) for v in (5.0, 30.0))]
    held = hold(ROWS, runs)
    controls = [n for n, item in enumerate(held, 1) if item.row.row_id == "vankooten-control-early"]
    with styled():
        drawn = relief_figures(held, ROWS)
        for name, (figure, _) in drawn.items():
            figure.savefig(tmp_path / f"{name}.png")
    for axis in (RISE, DURATION, COVERAGE):
        panel = drawn[axis.name][0].axes[0]
        left, right = panel.get_xlim()
        assert left == (pytest.approx(-ROOM * right) if axis.control is not None else 0.0)
        assert len({other.get_xlim() for other in drawn[axis.name][0].axes[:6]}) == 1
        assert axis.right in (None, panel.get_xlim()[1])
        texts = [text.get_text() for text in panel.texts]
        placed = [line for line in panel.get_lines() if line.get_marker() == "X"]
        if axis is DURATION:
            assert f"controls: {controls[0]}" in texts
            assert not placed
        else:
            assert [list(line.get_xdata()) for line in placed] == [[0.0]]
    texts = [text.get_text() for axes in drawn["relief_coverage"][0].axes[:6] for text in axes.texts]
    assert any(text.startswith("no prediction: ") and "; not computed: " in text for text in texts)  # Seoul; all others
    labels = [text.get_text() for text in drawn["relief"][0].legends[0].get_texts()]
    assert "volume as reported" in labels
    assert "Levels are assumed where the source names none" in drawn["relief"][1]
    table = row_table(held).set_index("row_id")
    assert (table.loc["gupta", "level_basis"], table.loc["chosun", "level_basis"]) == ("assumed", "reported")
