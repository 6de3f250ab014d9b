"""What all pages share, and the page of a comparison: one HTML file that needs no network."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import jinja2

import fem
from studies import networkband
from studies.calibrate.outcome import (
    by_hand_lines,
    calibrated_words,
    fitted_on,
    outcome_heading,
    outcome_lines,
    uncertainty_note,
)
from studies.clinical import Measurement, measurements
from studies.compare import CURVATURE, NO_SPREAD, NOT_COMPUTED, Comparison, Line
from studies.figures import Drawn
from studies.plot.style import overfull
from studies.plot.sweep import OCCUPANCY
from studies.protocols import BOLUS, DISPLACED, STATIC_RISE, Outcome, sweeps_in
from studies.provenance import commit, version
from studies.recorded import Recorded, mesh_notes, recorded_of, versions
from studies.relief.predicted import RISE
from studies.relief.table import explained, strata
from studies.report.record import asked_in_short, parameter_rows, provenance_lines, records_of, stood, why
from studies.report.sure import sure
from studies.results import case_states
from studies.runfolder import write_text
from studies.spinalshare import SHARES, applies, at_shares, ratios, source

TEMPLATES: Final = Path(__file__).parent / "templates"
DRAFT: Final = "On a draft mesh what its error does not bear, above all the smallest sac area, is for a first look."

TROUBLES_NAMED: Final = 3
"""Cases that did not finish which a page names for each reason."""

LIMITS: Final = (
    "rigid bone",
    "no pulsation, no respiration",
    "averaged anatomy",
    "veins only as storage",
    "invented stiffness of the subarachnoid network",
    "on the draft and the default mesh a cord that drains at once: it loses more than twice the area that it should, "
    "and the smallest sac area beside it is up to a tenth too small",
    "assumed or calibrated mobility of the epidural fat",
    "measurements are of populations, the model is of one averaged patient",
)
NAMES: Final = {
    DISPLACED: "lumbosacral CSF displaced",
    STATIC_RISE: "static epidural pressure rise",
    BOLUS: "needle pressure rise 3 min after a bolus",
    CURVATURE: "growth of the static rise with volume, exponent",
    "spread_segments": "segments reached, both sides together",
    "spread_cranial_segments": "segments reached cranially",
    "spread_caudal_segments": "segments reached caudally",
    "sac_compression_half_h": "half of the sac's lost area is back after",
    "sac_compression_gone_h": "nine tenths of the sac's lost area are back after",
}


def number(value: object, digits: int = 2) -> str:
    """A number for a reader; a dash where there is none."""
    if not isinstance(value, int | float) or math.isnan(value):
        return "–"
    return f"{value:.{digits}f}"


def fill(page: Path, template: str, **values: Any) -> None:
    """Fill in a template of a page; what every page says is added here."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    text = environment.get_template(template).render(
        {"charts": [], "script": ""}
        | values
        | {
            "calibrated": f"{calibrated_words()} They may look at these figures and no others:",
            "calibration": calibration_lines(),
            "outcome_heading": outcome_heading(),
            "outcome": outcome_lines(),
            "by_hand": by_hand_lines(),
            "limits": LIMITS,
            "version": version(),
            "model_version": fem.MODEL_VERSION,
            "commit": commit(),
        }
    )
    write_text(page, text)


def render(
    comparison: Comparison,
    figures: Sequence[Drawn],
    page: Path,
    charts: Sequence[Mapping[str, Any]] = (),
    script: str = "",
) -> None:
    """Write the page into the folder that it tells of; charts that answer to the reader go with a script."""
    unused = [line for line in comparison.lines if line.use == "validation" and line.verdict != NOT_COMPUTED]
    validation = [line for line in unused if line.verdict != NO_SPREAD]
    contested = [line for line in unused if line.beats_null in ("yes", "no")]
    series: dict[tuple[str, str], list[Line]] = {}  # figures of one study and quantity are one piece of evidence
    for line in validation:
        series.setdefault((line.study, line.quantity), []).append(line)
    sweeps = {folder.name: case_states(folder) for folder in sweeps_in(page.parent)}
    runs = {name: recorded_of(states) for name, states in sweeps.items()}
    ran = versions(comparison.runs)
    records = records_of(state.path for states in sweeps.values() for state in states)
    fill(
        page,
        "comparison.html.jinja",
        title="Epidural blood patch: model and measurements",
        warnings=_warnings(comparison, runs),
        asked=[(name, asked_in_short(states, [run.case for run in runs[name]])) for name, states in sweeps.items()],
        sure=sure([run for members in runs.values() for run in members]).items(),
        provenance=provenance_lines(records),
        parameters=parameter_rows(records),
        comparison=comparison,
        pictures=[{"caption": figure.caption, "data": _embedded(figure.svg)} for figure in figures],
        names=NAMES,
        charts=charts,
        script=script,
        inside=sum(line.verdict == "inside" for line in validation),
        judged=len(validation),
        series=len(series),
        held=sum(all(line.verdict == "inside" for line in lines) for lines in series.values()),
        at_shares=_at_shares([line for line in validation if line.verdict_at_shares]),
        beaten=sum(line.beats_null == "yes" for line in contested),
        contested=len(contested),
        explained=explained(comparison.relief, comparison.plug_modelled),
        strata=strata(comparison.relief),
        study=[_study_row(item) for item in comparison.study],
        stopped=any(item.state != "done" for item in comparison.study),
        overfull=overfull(item.number(OCCUPANCY) for item in comparison.study),
        shares={name: [f"{ratio:.2f}" for ratio in pair] for name, pair in ratios().items()},
        share_source=source(ran),
        network=networkband,
        network_note=networkband.version_note(ran),
        static_rise=STATIC_RISE,
        uncertain=any(not math.isnan(line.predicted_sd) for line in comparison.lines),
        uncertain_note=uncertainty_note(ran),
    )


def _warnings(comparison: Comparison, runs: Mapping[str, Sequence[Recorded]]) -> list[str]:
    by_mesh: dict[str, list[str]] = {}
    for name, members in runs.items():
        for note in mesh_notes(members) if any(run.begun for run in members) else ():
            by_mesh.setdefault(note, []).append(name)
    draft = any(note.startswith("draft") for note in by_mesh)
    lines = [f"Not every case finished: {line}." for line in why(comparison.troubles, TROUBLES_NAMED)]
    # Which sweep is on which mesh is said where they are not on one.
    told = [f"{f'{", ".join(names)}: ' if len(by_mesh) > 1 else ''}{note}" for note, names in by_mesh.items()]
    lines += [f"Mesh: {line}." for line in told] + ([DRAFT] if draft else [])
    return [*lines, *(f"Missing: {line}" for line in comparison.missing)]


def _at_shares(lines: Sequence[Line]) -> str:
    """How many static rises would be inside at other spinal shares; empty where that is not told."""
    if not lines:
        return ""
    counts = (sum(f"inside at {share:.2f}" in line.verdict_at_shares for line in lines) for share in SHARES)
    told = " and ".join(f"{count} at .{100 * share:.0f}" for count, share in zip(counts, SHARES, strict=True))
    return f"Of the {len(lines)} static rises, {told} of the spinal share would be inside."


def calibration_lines() -> list[str]:
    """Every figure that a parameter may be chosen by, in words, and whether the fit looked at it."""
    return [
        f"{'Fit' if row.id in fitted_on() else 'By hand only'}: {row.study}, {row.volume_mL:g} mL of {row.injectate}: "
        f"{NAMES[name]} {_said(row)} ({row.tag}; {row.note})"
        for name in NAMES
        for row in measurements("calibration", name)
    ]


def _said(row: Measurement) -> str:
    if row.sense != "measured":
        return f"{row.sense} {row.value:g} {row.unit}"
    return f"{row.value:g}{'' if math.isnan(row.sd) else f' ± {row.sd:g}'} {row.unit}"


def _study_row(item: Outcome) -> dict[str, Any]:
    banded = item.state == "done" and applies([item.case])  # a ratio says nothing of a rise that was cut short

    def band(name: str) -> str:
        low, high = at_shares(name, item.number(name))
        return f"{low:.1f} and {high:.1f}" if banded and not math.isnan(low) else ""

    return {
        "csf_band": band(RISE),
        "static_band": band(STATIC_RISE),
        "level": item.level,
        "volume": f"{item.volume_mL:g}",
        "state": stood(item.state, item.number("injected_mL")),
        "csf_rise": item.number("csf_pressure_rise_mmHg"),
        "csf_end": item.number("csf_pressure_end_mmHg"),
        "half": item.number("csf_pressure_half_decay_s") / 60,
        "sac_half": item.number("sac_compression_half_decay_s") / 60,
        "static": item.number(STATIC_RISE),
        "displaced": item.number("csf_displaced_peak_mL"),
        "sac": item.number("sac_area_min_ratio"),
        "occupancy": item.number(OCCUPANCY),
    }


def _embedded(path: Path) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(path.read_bytes()).decode("ascii")
