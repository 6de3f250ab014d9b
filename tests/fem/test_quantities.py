import numpy as np
import pytest

from fem.quantities import QUANTITIES, THRESHOLD_BAND, summarise


def series(csf, time=None, **columns):
    """Rows with a given CSF pressure; everything else zero unless given."""
    time = np.arange(len(csf), dtype=float) if time is None else time
    names = [name for name in QUANTITIES if not name.endswith(("_peak_mmHg", "_peak_time_s", "_end_mmHg"))]
    rows = []
    for k, t in enumerate(time):
        row = dict.fromkeys(names, 0.0) | {"time_s": t, "sac_area_min_ratio": 1.0}
        row |= {"csf_pressure_mmHg": csf[k], "csf_pressure_rise_mmHg": csf[k] - csf[0]}
        row |= {name: values[k] for name, values in columns.items()}
        rows.append(row)
    return rows


def test_peak_its_time_and_the_half_decay():
    result = summarise(series([4.0, 8.0, 12.0, 10.0, 6.0, 5.0]), injection_end=2.0)
    assert result["csf_pressure_peak_mmHg"] == 12.0
    assert result["csf_pressure_peak_time_s"] == 2.0
    assert result["csf_pressure_rise_mmHg"] == 8.0
    # half of the rise of 8 is lost at 8 mmHg, half-way between the rows of 3 s and 4 s
    assert result["csf_pressure_half_decay_s"] == pytest.approx(1.5)
    assert result["csf_pressure_end_mmHg"] == 5.0


def test_what_was_not_reached_is_empty():
    result = summarise(series([4.0, 8.0, 7.5]), injection_end=1.0)
    assert np.isnan(result["csf_pressure_half_decay_s"])
    assert np.isnan(result["epidural_pressure_static_rise_mmHg"])


def test_static_rise_is_read_twenty_seconds_after_the_last_injection():
    time = [0.0, 15.0, 25.0, 35.0, 60.0]
    rise = [0.0, 9.0, 6.0, 5.0, 4.0]
    rows = series([4.0] * 5, time, epidural_pressure_needle_rise_mmHg=rise)
    assert summarise(rows, injection_end=15.0)["epidural_pressure_static_rise_mmHg"] == 5.0


def test_a_summary_holds_every_pressure_at_the_end_and_no_warning_where_nothing_is_known(recwarn):
    result = summarise(
        series([4.0, 8.0, 5.0], csf_displaced_lumbosacral_mL=[np.nan] * 3, root_pressure_max_mmHg=[np.nan] * 3),
        injection_end=1.0,
    )
    assert result["csf_pressure_mmHg"] == result["csf_pressure_end_mmHg"] == 5.0
    pressures = {"csf_pressure_lumbar_mmHg", "epidural_pressure_mmHg", "epidural_pressure_needle_mmHg"}
    assert pressures <= set(result)
    assert np.isnan(result["root_pressure_max_mmHg"])
    assert np.isnan(result["csf_displaced_lumbosacral_peak_mL"])
    assert not recwarn.list


@pytest.mark.parametrize("suffix", ["", *THRESHOLD_BAND])
def test_the_mean_epidural_pressure_is_summarised_at_every_threshold(suffix):
    stem = f"epidural_pressure{suffix}"
    columns = {f"{stem}_mmHg": [np.nan, 9.0, 7.0], f"{stem}_rise_mmHg": [np.nan, 4.6, 2.6]}
    result = summarise(series([4.0, 8.0, 5.0], **columns), injection_end=1.0)
    parts = {"mmHg": 7.0, "rise_mmHg": 4.6, "peak_mmHg": 9.0, "peak_time_s": 1.0, "end_mmHg": 7.0}
    assert {part: result[f"{stem}_{part}"] for part in parts} == parts
    assert QUANTITIES[f"{stem}_peak_time_s"].unit == "s"


def test_a_series_without_the_band_is_summarised_all_the_same():
    rows = [{k: v for k, v in row.items() if "percent" not in k} for row in series([4.0, 8.0, 5.0])]
    assert np.isnan(summarise(rows, injection_end=1.0)["epidural_pressure_at_5_percent_peak_mmHg"])


def test_every_summary_value_has_a_definition():
    result = summarise(series([4.0, 8.0, 5.0]), injection_end=1.0)
    assert set(result) <= set(QUANTITIES)
