"""Figures of the comparison, on cases made up for what they must not mix up."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from studies.compare import Comparison
from studies.figures import STOPPED, _time_course, draw
from studies.inputs import end_of_injection
from studies.plot.style import NOTE_LETTERS, OVERFULL, in_lines, overfull, styled
from studies.protocols import Outcome
from studies.reading import validate_case
from studies.resolve import resolve


def course(level, volume, state="done", reach=1.0, follow_up="10 min"):
    """A run of the study of volume and level; `reach`: share of its time that it got through."""
    injection = [{"level": level, "volume": f"{volume} mL"}]
    case = resolve(validate_case({"injection": injection, "time": {"follow_up": follow_up}}))
    times = np.linspace(0.0, reach * (end_of_injection(case) + case.time.follow_up), 9)
    series = pd.DataFrame({"time_s": times, "csf_pressure_mmHg": 4.0 + volume * np.exp(-times / 300)})
    return Outcome(case, Path("x"), state, "", {"csf_pressure_rise_mmHg": float(volume)}, series)


def comparison(*study):
    return Comparison(
        lines=(), displaced=(), static=(), study=study, higuchi=(), pratt=(), missing=(), troubles=()
    )  # fmt: skip


STUDY = (
    course("T8/T9", 5), course("T8/T9", 20), course("T8/T9", 40, "failed", 0.05),
    course("L3/L4", 5), course("L3/L4", 19), course("L3/L4", 20),
)  # fmt: skip


def curves(axes):
    """Colour and line style by the peak of the curve, which tells its volume."""
    lines = [line for line in axes.get_lines() if len(line.get_xdata()) == 9]
    return {round(line.get_ydata()[0] - 4.0): (to_hex(line.get_color()), line.get_linestyle()) for line in lines}


def test_a_volume_looks_alike_in_every_panel_and_in_the_legend():
    with styled():
        figure = _time_course(comparison(*STUDY))
    (legend,) = figure.legends
    named = {
        text.get_text(): (to_hex(line.get_color()), line.get_linestyle())
        for text, line in zip(legend.get_texts(), legend.get_lines(), strict=True)
    }
    assert list(named) == ["5 mL", "19 mL", "20 mL", "40 mL", "stopped there: failed"]
    assert len(set(named.values())) == len(named)
    found = [curves(axes) for axes in figure.axes]
    assert [set(panel) for panel in found] == [{5, 20, 40}, {5, 19, 20}]
    for panel in found:
        assert all(look == named[f"{volume} mL"] for volume, look in panel.items())


def test_a_run_that_stopped_is_marked_where_it_stopped(tmp_path):
    with styled():
        figure = _time_course(comparison(*STUDY))
    crosses = [[line for line in axes.get_lines() if line.get_marker() == STOPPED["marker"]] for axes in figure.axes]
    assert [len(panel) for panel in crosses] == [1, 0]
    failed = STUDY[2].series.iloc[-1]
    assert crosses[0][0].get_xydata()[0] == pytest.approx([failed["time_s"] / 60, failed["csf_pressure_mmHg"]])
    assert STUDY[2].series["time_s"].iloc[-1] < end_of_injection(STUDY[2].case)
    ends = [line for line in figure.axes[0].get_lines() if len(line.get_xdata()) == 2]
    assert len(ends) == 2  # it did not reach the end of its injection
    captions = {item.name: item.caption for item in draw(comparison(*STUDY), tmp_path)}
    assert "Cross: the run stopped there" in captions["time_course"]
    captions = {item.name: item.caption for item in draw(comparison(STUDY[0], STUDY[1]), tmp_path)}
    assert "Cross" not in captions["time_course"]


def test_a_run_of_days_does_not_squeeze_the_others():
    for study in ((course("C7/T1", 19, follow_up="3 day"), *STUDY), (*STUDY, course("L5/S1", 19, follow_up="3 day"))):
        with styled():
            figure = _time_course(comparison(*study))
        assert 12.0 <= figure.axes[0].get_xlim()[1] < 13.0


def test_an_occupancy_above_one_is_explained_where_there_is_one():
    assert overfull([0.7, float("nan"), 1.04]) == f" {OVERFULL}"
    assert overfull([0.7, float("nan"), 1.0]) == ""


def test_a_note_breaks_before_a_number_not_before_its_per_cent_sign():
    note = "displaced CSF 0.33 %; " * 30
    for inches in (3.0, 5.2, 9.6):
        lines = in_lines(note, Figure(figsize=(inches, 1.0))).split("\n")
        assert " ".join(lines) == note.strip()
        assert len(lines) > 1 and not any(line.startswith("%") for line in lines)
        assert max(map(len, lines)) <= NOTE_LETTERS * inches
