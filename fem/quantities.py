"""Names, units and definitions of the quantities of interest, and the summary of a time series.

Results leave ``fem`` here, in units other than SI: a quantity's name carries its unit.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fem.arrays import Array
from fem.tolerance import limits, tolerated_volumes

SPREAD_THRESHOLD = 0.10
"""Injected content per reference volume above which a place counts as covered [1]; fixed, never tuned."""

THRESHOLD_BAND = {"_at_5_percent": 0.5 * SPREAD_THRESHOLD, "_at_15_percent": 1.5 * SPREAD_THRESHOLD}
"""Half and one and a half times the threshold, by suffix of the quantities that hang on it [1]."""

LUMBAR = ("L1", "L2", "L3", "L4", "L5")
"""Levels whose sac areas were measured against root pressure."""

SACRAL = ("S1", "S2")
"""Levels where the sac tapers to its end: a mean over a slab hangs on the slab's length there."""

LIMITED_LEVELS = ("L2", "L3", "L4")
"""Levels with a limit of their own (Schonstrom 1984)."""

STATIC_DELAY = 20.0
"""Time after the end of an injection at which the static pressure is read [s]; Pratt 2014."""

READ_OUTS = (3 * 3600.0, 3 * 86400.0)
"""Times at which patches were looked at in patients [s]: their mass effect and their shrinkage."""

INJECTION_FRAMES = 6
"""Fields are written this many times while fluid is injected, at steps as they come, where no times are asked for."""


@dataclass(frozen=True)
class Quantity:
    """One named result."""

    unit: str
    definition: str
    version: int = 1


QUANTITIES: dict[str, Quantity] = {
    "csf_pressure_mmHg": Quantity("mmHg", "pressure of the cranial CSF compartment; in a summary at the end"),
    "csf_pressure_lumbar_mmHg": Quantity(
        "mmHg",
        "mean CSF pressure below T11/T12, of the whole window where it holds nothing below; its own column included;"
        " in a summary at the end",
    ),
    "epidural_pressure_mmHg": Quantity(
        "mmHg",
        "mean pore pressure where injected content is at least 10 %, above the venous column; empty before; in a"
        " summary at the end",
    ),
    "epidural_pressure_needle_mmHg": Quantity(
        "mmHg", "pore pressure averaged with the source's weight at the latest injection; in a summary at the end"
    ),
    "root_pressure_max_mmHg": Quantity(
        "mmHg", "largest pore pressure in the foraminal part of the epidural space; in a summary at the end"
    ),
    "csf_pressure_rise_mmHg": Quantity("mmHg", "cranial CSF pressure less its baseline"),
    "csf_pressure_lumbar_rise_mmHg": Quantity("mmHg", "lumbar CSF pressure less its baseline"),
    "epidural_pressure_rise_mmHg": Quantity("mmHg", "epidural pressure less the baseline epidural pressure"),
    "epidural_pressure_needle_rise_mmHg": Quantity("mmHg", "needle pressure less the baseline epidural pressure"),
    "root_pressure_max_rise_mmHg": Quantity("mmHg", "root pressure less the baseline epidural pressure"),
    "injected_mL": Quantity("mL", "volume injected so far"),
    "epidural_swelling_mL": Quantity("mL", "integral of J over the epidural space less its baseline"),
    "venous_displaced_mL": Quantity("mL", "blood expelled from the epidural veins since baseline"),
    "foraminal_outflow_mL": Quantity("mL", "outflow through all foramina so far"),
    "end_outflow_mL": Quantity("mL", "outflow through the epidural cuts so far"),
    "resorbed_mL": Quantity(
        "mL", "watery fluid taken up in the epidural space so far, and leaked CSF taken up where it leaks"
    ),
    "leaked_csf_mL": Quantity("mL", "CSF lost through dural leaks so far, less what of it flowed back"),
    "injectate_intrathecal_mL": Quantity("mL", "injectate that entered the sac through leaks so far"),
    "clot_volume_mL": Quantity("mL", "clotted injectate"),
    "lysed_mL": Quantity("mL", "lysed clot so far"),
    "volume_balance_error": Quantity(
        "1",
        "injected + leaked - swelling - venous - foraminal - ends - resorbed - entered, over what was injected so far"
        " (before anything is, over what has leaked)",
        version=2,
    ),
    "csf_displaced_mL": Quantity("mL", "minus the integral of J - 1 over the subarachnoid window against baseline"),
    "csf_displaced_lumbosacral_mL": Quantity("mL", "the same below T11/T12"),
    "csf_to_cranial_mL": Quantity("mL", "CSF that left the window through the cranial cut so far"),
    "csf_to_caudal_mL": Quantity("mL", "CSF that left the window through the caudal cut so far"),
    "cord_uptake_mL": Quantity("mL", "integral of J over the cord less its baseline"),
    "sac_area_min_mm2": Quantity(
        "mm^2",
        "smallest section of the thecal sac above the sacrum, where it ends, mean over an axial slab; its tip (below"
        " half of the largest area within 60 mm) left out",
        3,
    ),
    "sac_area_min_ratio": Quantity("1", "smallest ratio of a slab's sac area to its baseline, the tip left out", 2),
    "sac_area_lumbar_min_mm2": Quantity(
        "mm^2", "smallest section of the sac at L1 to L5; empty where the window has none"
    ),
    "sac_area_L2_mm2": Quantity("mm^2", "smallest section of the sac at L2; empty where the window has no L2"),
    "sac_area_L3_mm2": Quantity("mm^2", "smallest section of the sac at L3; empty where the window has no L3"),
    "sac_area_L4_mm2": Quantity("mm^2", "smallest section of the sac at L4; empty where the window has no L4"),
    "sac_width_min_ratio": Quantity(
        "1", "smallest ratio of the sac's width to its baseline, slabs with cord only, its tip left out", 3
    ),
    "cord_displacement_max_mm": Quantity("mm", "largest displacement of the cord since baseline"),
    "cord_area_min_ratio": Quantity("1", "smallest ratio of a slab's cord area to its baseline, the tip left out", 2),
    "cord_ap_min_ratio": Quantity(
        "1", "smallest ratio of a slab's cord anteroposterior diameter to its baseline, the tip left out", 3
    ),
    "canal_occupancy_max": Quantity(
        "1",
        "deformed epidural area with injected content of at least 10 % over canal area, worst slab",
    ),
    "canal_injected_max": Quantity("1", "injected content of a slab over its canal volume, worst slab"),
    "spread_cranial_segments": Quantity("1", "segments from the needle to the most cranial covered slab"),
    "spread_caudal_segments": Quantity("1", "segments from the needle to the most caudal covered slab"),
    "spread_ventral_fraction": Quantity(
        "1", "share of the ventral width covered at the level of the first ventral leak, else of the injection", 2
    ),
    "rise_from_pressure_mmHg": Quantity(
        "mmHg", "rise of the cranial CSF pressure that would remain if no clot closed a leak"
    ),
    "rise_from_plug_mmHg": Quantity("mmHg", "rise of the cranial CSF pressure less the rise from pressure"),
    "leak_flow_mL_per_min": Quantity(
        "mL/min", "CSF that leaks through the dura, all leaks together; empty without a leak"
    ),
    "leak_openness": Quantity("1", "share of the leaks' conductance that no clot has closed; empty without a leak"),
    "leak_coverage": Quantity(
        "1", "share of the leak's patch of dura with injected content of at least 10 %, least covered leak"
    ),
    "leak_clot_thickness_mm": Quantity(
        "mm", "volume of clot over the leak's patch, per area of it; least covered leak"
    ),
    "sleeve_coverage": Quantity(
        "1",
        "share of the root sleeve's surface with injected content of at least 10 %: of the sleeve that leaks, else"
        " of the one that is injected, else of the best coated one",
    ),
    "csf_pressure_peak_mmHg": Quantity("mmHg", "largest cranial CSF pressure"),
    "csf_pressure_peak_time_s": Quantity("s", "time of the largest cranial CSF pressure"),
    "csf_pressure_end_mmHg": Quantity("mmHg", "cranial CSF pressure at the end"),
    "csf_pressure_lumbar_peak_mmHg": Quantity("mmHg", "largest lumbar CSF pressure"),
    "csf_pressure_lumbar_peak_time_s": Quantity("s", "time of the largest lumbar CSF pressure"),
    "csf_pressure_lumbar_end_mmHg": Quantity("mmHg", "lumbar CSF pressure at the end"),
    "epidural_pressure_peak_mmHg": Quantity("mmHg", "largest epidural pressure"),
    "epidural_pressure_peak_time_s": Quantity("s", "time of the largest epidural pressure"),
    "epidural_pressure_end_mmHg": Quantity("mmHg", "epidural pressure at the end"),
    "epidural_pressure_needle_peak_mmHg": Quantity("mmHg", "largest needle pressure"),
    "epidural_pressure_needle_peak_time_s": Quantity("s", "time of the largest needle pressure"),
    "epidural_pressure_needle_end_mmHg": Quantity("mmHg", "needle pressure at the end"),
    "root_pressure_max_peak_mmHg": Quantity("mmHg", "largest root pressure"),
    "root_pressure_max_peak_time_s": Quantity("s", "time of the largest root pressure"),
    "root_pressure_max_end_mmHg": Quantity("mmHg", "root pressure at the end"),
    "csf_pressure_half_decay_s": Quantity(
        "s", "time from the peak of the CSF pressure to half its rise; empty where not reached"
    ),
    "sac_compression_half_decay_s": Quantity(
        "s", "time from the smallest sac area to half its loss; empty where not reached"
    ),
    "epidural_pressure_static_rise_mmHg": Quantity(
        "mmHg", "needle pressure rise 20 s after the end of the last injection"
    ),
    "csf_displaced_peak_mL": Quantity("mL", "largest CSF displacement of the window"),
    "csf_displaced_lumbosacral_peak_mL": Quantity("mL", "largest lumbosacral CSF displacement"),
    "volume_balance_error_max": Quantity("1", "largest volume balance error of any step"),
    "mesh_quality_min": Quantity("1", "smallest cell quality of the mesh"),
    "degrees_of_freedom": Quantity("1", "unknowns of the coupled problem"),
    "newton_iterations": Quantity("1", "Newton iterations of all steps"),
    "wall_time_s": Quantity(
        "s", "wall time since the work on its path began: set-up and smaller volumes of the path included"
    ),
    "window_compliance_mL_per_mmHg": Quantity("mL/mmHg", "compliance of the meshed sac, measured by a 1 mL bolus"),
    "balancing_force_share": Quantity(
        "1",
        "of the healthy sac's transmural pressure, share that reactions hold in the tabulated shape, and not its dura",
    ),
    "baseline_sac_area_ratio": Quantity("1", "volume of the sac at the patient's baseline over the tabulated one"),
    "csf_pressure_posture_shift_mmHg": Quantity(
        "mmHg", "cranial CSF pressure in the case's posture less that supine, before the patch, at conserved CSF volume"
    ),
    "csf_pressure_upright_before_mmHg": Quantity(
        "mmHg",
        "cranial CSF pressure a minute after standing up, before the patch, at conserved CSF volume;"
        " empty unless asked for",
    ),
    "csf_pressure_upright_after_mmHg": Quantity("mmHg", "the same at the end of the run"),
    "needle_pressure_drop_mmHg": Quantity(
        "mmHg", "largest drop in a needle of the case; empty where no gauge is given"
    ),
}
BANDED = (
    "canal_occupancy_max",
    "spread_cranial_segments",
    "spread_caudal_segments",
    "spread_ventral_fraction",
    "leak_coverage",
    "sleeve_coverage",
)
"""Quantities that hang on the threshold of what counts as covered."""

BANDED_PRESSURE = "epidural_pressure"
"""Stem of the pressure that is a mean over what counts as covered."""

PRESSURE_PARTS = ("mmHg", "rise_mmHg", "peak_mmHg", "peak_time_s", "end_mmHg")
"""What is reported of a pressure, by what follows its stem."""

QUANTITIES |= {
    f"{stem}{suffix}{part}": Quantity(
        QUANTITIES[f"{stem}{part}"].unit, f"{stem}{part} with a threshold of {100 * threshold:g} %"
    )
    for suffix, threshold in THRESHOLD_BAND.items()
    for stem, part in (*((name, "") for name in BANDED), *((BANDED_PRESSURE, f"_{part}") for part in PRESSURE_PARTS))
}

QUANTITIES |= {
    limit.output: Quantity("mL", f"volume injected when {limit.quantity} reaches {limit.value:g}: {limit.what}")
    for limit in limits().values()
}

# Of each leak where a case has several: {} is its number in the order in which they are given, from 0.
_LEAK_LAST = {
    "flow_mL_per_min": Quantity("mL/min", "CSF that leaks through leak {} of the case, less what flows back"),
    "openness": Quantity("1", "share of the conductance of leak {} that no clot has closed"),
}
_LEAK_LARGEST = {
    "clot_thickness_mm": Quantity(
        "mm", "volume of clot over the patch of dura of leak {}, per area of it; in a summary the largest"
    ),
    "coverage": Quantity(
        "1", "share of the patch of dura of leak {} with injected content of at least 10 %; in a summary the largest"
    ),
}
_LEAK_LARGEST |= {
    f"coverage{suffix}": Quantity("1", f"leak_{{}}_coverage with a threshold of {100 * threshold:g} %")
    for suffix, threshold in THRESHOLD_BAND.items()
}
_LEAK_NAME = re.compile(r"leak_(\d+)_(\w+)")


def of_each_leak(name: str, values: Sequence[float] | Array) -> dict[str, float]:
    """Values by leak of what ``name`` says of all leaks: ``leak_0_coverage`` and so on, leaks in their order, from 0.

    Nothing for a single leak, of which ``name`` says it all.
    """
    part = name.removeprefix("leak_")
    return {f"leak_{k}_{part}": float(value) for k, value in enumerate(values)} if len(values) > 1 else {}


def quantity(name: str) -> Quantity | None:
    """Unit and definition of a quantity of interest, those of each leak included; None where there is none."""
    found = _LEAK_NAME.fullmatch(name)
    if found is None:
        return QUANTITIES.get(name)
    index, part = found.groups()
    known = (_LEAK_LAST | _LEAK_LARGEST).get(part)
    return known and replace(known, definition=known.definition.format(index))


_PEAKS = (
    "csf_pressure",
    "csf_pressure_lumbar",
    "epidural_pressure",
    "epidural_pressure_needle",
    "root_pressure_max",
    *(f"{BANDED_PRESSURE}{suffix}" for suffix in THRESHOLD_BAND),
)

_LAST = (
    "injected_mL",
    "epidural_swelling_mL",
    "venous_displaced_mL",
    "foraminal_outflow_mL",
    "end_outflow_mL",
    "resorbed_mL",
    "leaked_csf_mL",
    "injectate_intrathecal_mL",
    "clot_volume_mL",
    "lysed_mL",
    "volume_balance_error",
    "csf_displaced_mL",
    "csf_displaced_lumbosacral_mL",
    "csf_to_cranial_mL",
    "csf_to_caudal_mL",
    "cord_uptake_mL",
    "leak_flow_mL_per_min",
    "leak_openness",
    "rise_from_pressure_mmHg",
    "rise_from_plug_mmHg",
)

_SMALLEST = (
    "sac_area_min_mm2",
    "sac_area_min_ratio",
    "sac_area_lumbar_min_mm2",
    "sac_area_L2_mm2",
    "sac_area_L3_mm2",
    "sac_area_L4_mm2",
    "sac_width_min_ratio",
    "cord_area_min_ratio",
    "cord_ap_min_ratio",
)

_LARGEST = (
    "cord_displacement_max_mm",
    "canal_injected_max",
    "leak_clot_thickness_mm",
    *BANDED,
    *(f"{name}{suffix}" for suffix in THRESHOLD_BAND for name in BANDED),
)


def summarise(series: Sequence[Mapping[str, float]], injection_end: float) -> dict[str, float]:
    """Reduce a time series (first row the baseline) to the summary's values.

    Args:
        series: rows of one run, in time order.
        injection_end: end of the last injection [s] of a run without any volume.

    Returns:
        Values by name; NaN where a quantity was not reached.
    """
    column = {name: np.array([float(row.get(name, np.nan)) for row in series]) for name in series[0]}
    time = column["time_s"]
    nothing = np.full(len(time), np.nan)
    out: dict[str, float] = {}
    for stem in _PEAKS:
        values = column.get(f"{stem}_mmHg", nothing)
        seen = np.isfinite(values)
        if not seen.any():
            out |= {f"{stem}_{part}": np.nan for part in PRESSURE_PARTS}
            continue
        top = int(np.nanargmax(values))
        out[f"{stem}_peak_mmHg"] = float(values[top])
        out[f"{stem}_peak_time_s"] = float(time[top])
        out[f"{stem}_mmHg"] = out[f"{stem}_end_mmHg"] = float(values[-1])
        out[f"{stem}_rise_mmHg"] = float(column[f"{stem}_rise_mmHg"][top])
    out |= {name: float(column.get(name, nothing)[-1]) for name in (*_LAST, *_of_leaks(column, _LEAK_LAST))}
    out |= {name: _extreme(column.get(name, nothing), np.min) for name in _SMALLEST}
    largest = (*_LARGEST, *_of_leaks(column, _LEAK_LARGEST))
    out |= {name: _extreme(column.get(name, nothing), np.max) for name in largest}
    out |= tolerated_volumes(column)
    out["csf_displaced_peak_mL"] = float(column["csf_displaced_mL"].max())
    out["csf_displaced_lumbosacral_peak_mL"] = _extreme(column["csf_displaced_lumbosacral_mL"], np.max)
    out["volume_balance_error_max"] = float(np.nanmax(np.abs(column["volume_balance_error"])))
    out["csf_pressure_half_decay_s"] = _half_decay(time, column["csf_pressure_rise_mmHg"])
    out["sac_compression_half_decay_s"] = _half_decay(time, 1 - column["sac_area_min_ratio"])
    grown = np.flatnonzero(np.diff(column["injected_mL"]) > 0)
    static = (float(time[grown[-1] + 1]) if len(grown) else injection_end) + STATIC_DELAY
    rise = column["epidural_pressure_needle_rise_mmHg"]
    out["epidural_pressure_static_rise_mmHg"] = float(np.interp(static, time, rise)) if time[-1] >= static else np.nan
    return out


def _of_leaks(names: Iterable[str], parts: Iterable[str]) -> list[str]:
    """Those names that are of one leak each, and of these parts."""
    found = {name: _LEAK_NAME.fullmatch(name) for name in names}
    return [name for name, match in found.items() if match and match[2] in set(parts)]


def _extreme(values: Array, choose: Callable[[Array], Any]) -> float:
    """Smallest or largest of what is there, NaN where nothing is."""
    seen = values[np.isfinite(values)]
    return float(choose(seen)) if len(seen) else float("nan")


def _half_decay(time: Array, values: Array) -> float:
    top = int(np.argmax(values))
    below = np.flatnonzero(values[top:] <= values[top] / 2)
    if values[top] <= 0 or len(below) == 0:
        return float("nan")
    k = top + int(below[0])
    share = (values[k - 1] - values[top] / 2) / (values[k - 1] - values[k])
    return float(time[k - 1] + share * (time[k] - time[k - 1]) - time[top])
