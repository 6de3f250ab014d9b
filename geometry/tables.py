"""Reading of the anatomy tables: every figure keeps its tag and its source."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass, fields
from pathlib import Path

from .errors import AnatomyError

DATA = Path(__file__).parent / "data"
MILLI = 1e-3
MILLI_SQUARED = 1e-6

LEVEL_LENGTHS = ("canal_ap", "canal_trans", "sac_ap", "sac_trans", "cord_ap", "cord_trans", "segment_length")
"""Quantities of a vertebral level in metres; ``canal_area`` (m2) comes beside them."""
LEVEL_QUANTITIES = (*LEVEL_LENGTHS, "canal_area")
INTERSPACE_QUANTITIES = ("recess_depth", "foramen_height", "foramen_width", "root_diameter")
"""Quantities of an interspace in metres."""

# The level table's tag column abbreviates some quantities.
_TAG_ALIASES = {"canal": "canal_ap", "length": "segment_length", "canal_area_mesh_mm2": "canal_area"}
_SHARED_TAGS = {"canal": ("canal_ap", "canal_trans"), "cord": ("cord_ap", "cord_trans")}


@dataclass(frozen=True)
class Provenance:
    """Where a figure comes from: ``tag`` (seen, derived, recalled, ...) and source."""

    tag: str
    source: str


@dataclass(frozen=True)
class Shape:
    """Constants of the canal's shape that no table gives by level (SI; angles in rad)."""

    gap_floor: float
    ventral_share: float
    recess_half_angle: float
    recess_axial_share: float
    lateral_half_angle: float
    foramen_half_angle: float
    sleeve_half_angle: float
    stub_length: float
    sleeve_share: float
    conus_offset: float
    conus_cap: float
    sac_end_share: float
    sac_tip_length: float
    sac_tip_ratio: float
    core_ratio: float
    core_growth_length: float
    least_clearance: float
    paramedian_offset: float
    transforaminal_angle: float


Figures = dict[tuple[str, str], float]
Sources = dict[tuple[str, str], Provenance]


def _rows(path: Path, needed: tuple[str, ...]) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise AnatomyError(f"anatomy table {path} cannot be read: {error}") from error
    if not rows:
        raise AnatomyError(f"anatomy table {path} has no rows")
    missing = [column for column in needed if column not in rows[0]]
    if missing:
        raise AnatomyError(f"anatomy table {path} lacks the column {missing[0]}")
    return rows


def _number(text: str | None, place: str, quantity: str) -> float:
    if text is None or not text.strip():
        return math.nan
    try:
        return float(text)
    except ValueError:
        raise AnatomyError(f"{place}: {quantity} is {text!r}, not a number") from None


def _level_tags(text: str) -> dict[str, str]:
    tags: dict[str, str] = {}
    for part in filter(None, (p.strip() for p in text.split(";"))):
        key, _, tag = part.partition(":")
        key, tag = key.strip(), tag.strip()
        for name in _SHARED_TAGS.get(key, (_TAG_ALIASES.get(key, key),)):
            tags[name] = tag or tags.get(name, "")
    return tags


def read_levels(path: Path) -> tuple[tuple[str, ...], Figures, Sources]:
    """Level table (millimetres) to SI figures by (level, quantity), cranial to caudal."""
    rows = _rows(path, ("level", *(f"{name}_mm" for name in LEVEL_LENGTHS), "canal_area_mesh_mm2"))
    figures: Figures = {}
    sources: Sources = {}
    for row in rows:
        level = row["level"]
        tags = _level_tags(row.get("tag") or "")
        for name in LEVEL_LENGTHS:
            figures[level, name] = MILLI * _number(row[f"{name}_mm"], level, name)
        figures[level, "canal_area"] = MILLI_SQUARED * _number(row["canal_area_mesh_mm2"], level, "canal_area")
        for name in LEVEL_QUANTITIES:
            default = "derived" if name == "canal_area" else "untagged"
            sources[level, name] = Provenance(tags.get(name) or default, row.get("source") or "")
    return tuple(row["level"] for row in rows), figures, sources


def read_interspaces(path: Path = DATA / "interspaces.csv") -> tuple[Figures, Sources]:
    """Interspace table to SI figures by (interspace, quantity)."""
    figures: Figures = {}
    sources: Sources = {}
    for row in _rows(path, ("interspace", *(f"{name}_mm" for name in INTERSPACE_QUANTITIES))):
        place = row["interspace"]
        for name in INTERSPACE_QUANTITIES:
            figures[place, name] = MILLI * _number(row[f"{name}_mm"], place, name)
            sources[place, name] = Provenance(row[f"{name}_tag"], row[f"{name}_source"])
    return figures, sources


def read_dorsal_csf(path: Path = DATA / "cord_position.csv") -> dict[str, float]:
    """Thickness of CSF dorsal to the cord (m) by level; NaN where the cord is centred."""
    return {
        row["level"]: MILLI * _number(row["dorsal_csf_mm"], row["level"], "dorsal_csf")
        for row in _rows(path, ("level", "dorsal_csf_mm"))
    }


def read_shape(path: Path = DATA / "shape.csv") -> tuple[Shape, Sources]:
    """Shape constants, converted from the table's units to SI and radians."""
    scale = {"mm": MILLI, "deg": math.pi / 180.0, "1": 1.0}
    rows = {row["name"]: row for row in _rows(path, ("name", "value", "unit", "tag", "source"))}
    values = {
        field.name: _number(rows[field.name]["value"], "shape", field.name) * scale[rows[field.name]["unit"]]
        for field in fields(Shape)
    }
    sources = {("shape", name): Provenance(row["tag"], row["source"]) for name, row in rows.items()}
    return Shape(**values), sources
