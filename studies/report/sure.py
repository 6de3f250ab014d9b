"""How sure the numbers of cases are: mesh, steps, network stiffness, spinal share, what the fit leaves open."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import pandas as pd

from studies import networkband
from studies.calibrate.outcome import fitted_as_default, predicted_sd, uncertainty_note
from studies.case import Case
from studies.clinical import measurements
from studies.protocols import DISPLACED, ML, STATIC_RISE, is_higuchi, is_pratt
from studies.recorded import BETWEEN, Recorded, begun, mesh_notes, step_notes, versions
from studies.spinalshare import QUANTITIES, SHARES, applies, at_shares, ratios, source

NETWORK_WORDS: Final = "network stiffness"
SHARE_WORDS: Final = "spinal share of the compliance"
SHARE_NAMES: Final = " and ".join(f".{100 * share:.0f}" for share in SHARES)

UNKNOWNS: Final = {
    "mesh.size": "mesh size",
    "time.injection_step": "largest step during the injection",
    "time.max_step": "largest step",
    f"materials.{networkband.STIFFNESS}": NETWORK_WORDS,
    "csf.spinal_share": SHARE_WORDS,
    "csf.reference_pressure": "reference pressure of the compliance",
    "solver.source_radius": "radius of the source",
}
FIGURES: Final = (
    ("csf_pressure_rise_mmHg", "CSF rise", " mmHg"),
    ("epidural_pressure_static_rise_mmHg", "static epidural rise", " mmHg"),
    ("csf_displaced_peak_mL", "CSF displaced", " mL"),
    ("sac_area_min_ratio", "smallest sac area over baseline", ""),
    ("canal_occupancy_max", "canal occupied", ""),
    ("cord_displacement_max_mm", "cord displaced", " mm"),
)
SAID: Final = {DISPLACED: "lumbosacral CSF displaced 5 min after", STATIC_RISE: "static epidural rise at"}
"""What clinical protocols read off, in words that a volume follows."""

NOT_PROPAGATED: Final = (
    "not propagated to these figures: what the fit leaves open of its parameters is known for predictions of the "
    "clinical protocols only (page of a comparison), and no other parameter's range is carried on; widths of the "
    "fitted ones below, under what was calibrated on what"
)


def sure(runs: Sequence[Recorded], rises: Mapping[str, float] | None = None) -> dict[str, str]:
    """What is known of every source of uncertainty of some cases, in words.

    Args:
        runs: cases with what their runs recorded.
        rises: headline rises of the one case [mmHg], by name, to be told at other spinal shares.
    """
    runs = begun(runs)
    return {
        "mesh": BETWEEN.join(mesh_notes(runs)) or "–",
        "time steps": BETWEEN.join(step_notes(runs)) or "–",
        NETWORK_WORDS: network_note(runs),
        SHARE_WORDS: share_note(runs, rises or {}),
        "parameters": fit_note(runs),
    }


def network_note(runs: Sequence[Recorded]) -> str:
    """The cases' stiffness of the network, and what the production case's figures do over its band."""
    here = networkband.stiffnesses(run.case for run in runs)
    said = f"invented; {_range(here)} Pa here"
    rows = networkband.rows()
    if not rows:
        return f"{said}; its band is not known"
    reference = next(iter(rows.values()))["reference"]
    changes = [f"{short} {change}" for name, short, _ in FIGURES if (change := networkband.change(name))]
    return (
        f"{said}; {networkband.settings()} instead of {reference} change, in one case (20 mL of "
        f"blood at L3/L4, results/production), {', '.join(changes)}{networkband.version_note(versions(runs))}"
    )


def _range(values: Sequence[float]) -> str:
    """Smallest and largest of sorted values."""
    return f"{values[0]:g}" if len(values) == 1 else f"{values[0]:g} to {values[-1]:g}"


def share_note(runs: Sequence[Recorded], rises: Mapping[str, float]) -> str:
    """The cases' spinal share of the compliance, and the rises at the two between which they are stated."""
    cases = [run.case for run in runs]
    if not applies(cases):
        given = sorted({case.csf.spinal_share for case in cases if case.csf.spinal_share is not None})
        measured = any(case.csf.spinal_share is None for case in cases)
        others = "; measured in the window in the others" if measured else ""
        return f"{_range(given)} as given{others}"
    said = []
    for name, short, unit in FIGURES:
        if name not in QUANTITIES:
            continue
        at = at_shares(name, rises.get(name, math.nan))
        factors = " and ".join(f"{ratio:.2f}" for ratio in ratios()[name])
        values = "" if math.isnan(at[0]) else f"{at[0]:.3g} and {at[1]:.3g}{unit}, that is "
        said.append(f"{short} {values}times {factors}")
    return f"measured in the window; at {SHARE_NAMES}: {'; '.join(said)}; {source(versions(runs))}"


def fit_note(runs: Sequence[Recorded]) -> str:
    """What the fit leaves open of the predictions that the cases are, where it is known."""
    cases = [run.case for run in runs]
    if not fitted_as_default(cases):
        return "not propagated: what the fit leaves open is known for its parameters at their defaults only"
    told = []
    for name, words in SAID.items():
        rows = [*measurements("calibration", name), *measurements("validation", name)]
        for row in sorted(rows, key=lambda row: row.volume_mL):
            sd = predicted_sd(row.id)
            if not math.isnan(sd) and any(_predicts(case, name, row.volume_mL) for case in cases):
                told.append(f"{words} {row.volume_mL:g} mL ± {sd:.2g} {row.unit}")
    if not told:
        return NOT_PROPAGATED
    left_open = f"what the fit leaves open, one standard deviation{uncertainty_note(versions(runs))}"
    return f"{left_open}: {'; '.join(told)}; nothing else is propagated"


def _predicts(case: Case, quantity: str, volume_mL: float) -> bool:
    """Whether a case is the protocol by which a quantity was measured at a volume, or passes it on its way."""
    total = sum(injection.volume for injection in case.injection) / ML
    if quantity == DISPLACED:
        return is_higuchi(case) and math.isclose(total, volume_mL, rel_tol=1e-6)
    return is_pratt(case) and volume_mL <= total * (1 + 1e-6)


def bands(frame: pd.DataFrame, keys: Sequence[str], known: Mapping[str, str] | None = None) -> list[tuple[str, str]]:
    """How far each headline figure goes when one unknown alone varies: the widest case, in words.

    Args:
        frame: the sweep's table.
        keys: keys that vary.
        known: what else is known of an unknown that does not vary, by its words.
    """
    lines = []
    done = frame[frame["state"] == "done"]
    for key, words in UNKNOWNS.items():
        if key not in keys:
            more = f"; {known[words]}" if known and words in known else ""
            lines.append((words, f"not varied in this sweep ({key}){more}"))
            continue
        others = [name for name in keys if name != key]
        groups = [part for _, part in done.groupby(others)] if others else [done]
        said = []
        for name, short, unit in FIGURES:
            spans = [_span(part, name) for part in groups if name in part]
            spread = [span for span in spans if span is not None]
            if spread:
                low, high = max(spread, key=lambda span: span[1] - span[0])
                said.append(f"{short} {low:.3g} to {high:.3g}{unit}")
        lines.append((words, f"widest band: {'; '.join(said)}" if said else "no two finished cases differ in it alone"))
    return lines


def _span(part: pd.DataFrame, name: str) -> tuple[float, float] | None:
    values = pd.to_numeric(part[name], errors="coerce").dropna()
    return (float(values.min()), float(values.max())) if len(values) > 1 else None
