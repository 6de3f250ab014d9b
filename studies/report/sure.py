"""Bands of a sweep's headline figures over what is not known: mesh, steps, network stiffness, spinal share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pandas as pd

UNKNOWNS: Final = {
    "mesh.size": "mesh size",
    "time.injection_step": "largest step during the injection",
    "time.max_step": "largest step",
    "materials.network.youngs_modulus": "network stiffness",
    "csf.spinal_share": "spinal share of the compliance",
    "csf.reference_pressure": "reference pressure of the compliance",
    "solver.source_radius": "radius of the source",
}
FIGURES: Final = (
    ("csf_pressure_rise_mmHg", "CSF rise", "mmHg"),
    ("epidural_pressure_static_rise_mmHg", "static epidural rise", "mmHg"),
    ("csf_displaced_peak_mL", "CSF displaced", "mL"),
    ("cord_displacement_max_mm", "cord displaced", "mm"),
)


def bands(frame: pd.DataFrame, keys: Sequence[str]) -> list[tuple[str, str]]:
    """How far each headline figure goes when one unknown alone varies: the widest case, in words.

    Args:
        frame: the sweep's table.
        keys: keys that vary.
    """
    lines = []
    done = frame[frame["state"] == "done"]
    for key, words in UNKNOWNS.items():
        if key not in keys:
            lines.append((words, f"not varied in this sweep ({key})"))
            continue
        others = [name for name in keys if name != key]
        groups = [part for _, part in done.groupby(others)] if others else [done]
        said = []
        for name, short, unit in FIGURES:
            spans = [_span(part, name) for part in groups if name in part]
            known = [span for span in spans if span is not None]
            if known:
                low, high = max(known, key=lambda span: span[1] - span[0])
                said.append(f"{short} {low:.3g} to {high:.3g} {unit}")
        lines.append((words, f"widest band: {'; '.join(said)}" if said else "no two finished cases differ in it alone"))
    return lines


def _span(part: pd.DataFrame, name: str) -> tuple[float, float] | None:
    values = pd.to_numeric(part[name], errors="coerce").dropna()
    return (float(values.min()), float(values.max())) if len(values) > 1 else None
