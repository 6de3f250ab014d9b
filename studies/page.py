"""The page of a comparison: one HTML file that needs no network."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import jinja2

import fem
from studies.clinical import measurements
from studies.compare import STATIC_RISE, Comparison
from studies.figures import Drawn
from studies.protocols import DISPLACED
from studies.provenance import commit, version
from studies.runfolder import write_text

TEMPLATES: Final = Path(__file__).parent / "templates"
LIMITS: Final = (
    "rigid bone",
    "no pulsation, no respiration",
    "averaged anatomy",
    "veins only as storage",
    "invented stiffness of the subarachnoid network",
    "assumed or calibrated mobility of the epidural fat",
    "no clot, no leak, supine only in this version",
    "measurements are of populations, the model is of one averaged patient",
)
NAMES: Final = {DISPLACED: "lumbosacral CSF displaced", STATIC_RISE: "static epidural pressure rise"}


def number(value: object, digits: int = 2) -> str:
    """A number for a reader; a dash where there is none."""
    if not isinstance(value, int | float) or math.isnan(value):
        return "–"
    return f"{value:.{digits}f}"


def render(comparison: Comparison, figures: Sequence[Drawn], page: Path) -> None:
    """Write the page."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    validation = [line for line in comparison.lines if line.use == "validation" and line.verdict != "not computed"]
    text = environment.get_template("comparison.html.jinja").render(
        comparison=comparison,
        figures=[{"name": figure.name, "caption": figure.caption, "data": _embedded(figure.svg)} for figure in figures],
        names=NAMES,
        limits=LIMITS,
        inside=sum(line.verdict == "inside" for line in validation),
        judged=len(validation),
        beaten=sum(line.beats_null == "yes" for line in validation),
        calibration=[row for quantity in NAMES for row in measurements("calibration", quantity)],
        study=[_study_row(item) for item in comparison.study],
        draft=any(note.startswith("draft") for note in comparison.meshes),
        version=version(),
        model_version=fem.MODEL_VERSION,
        commit=commit(),
    )
    write_text(page, text)


def _study_row(item: Any) -> dict[str, Any]:
    return {
        "level": item.level,
        "volume": f"{item.volume_mL:g}",
        "state": item.state,
        "reason": item.reason,
        "csf_rise": item.number("csf_pressure_rise_mmHg"),
        "csf_end": item.number("csf_pressure_end_mmHg"),
        "half": item.number("csf_pressure_half_decay_s") / 60,
        "static": item.number(STATIC_RISE),
        "displaced": item.number("csf_displaced_peak_mL"),
        "sac": item.number("sac_area_min_ratio"),
        "occupancy": item.number("canal_occupancy_max"),
    }


def _embedded(path: Path) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(path.read_bytes()).decode("ascii")
