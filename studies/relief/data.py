"""The curated table of published relief rates, checked row by row as it is read.

The columns of the source are kept as they are; the added ones say what the source leaves open: which patients recur,
which row counts, the volume as a range, the class of the endpoint, PDPH or SIH, blind or targeted, early or lasting,
the kind of control, and the count behind a percentage where there is one.
"""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from studies.values import INTERSPACES

TABLE: Final = Path(__file__).parents[1] / "data" / "clinical_relief.csv"

USES: Final = ("primary", "subgroup", "overlapping", "excluded")
SYNDROMES: Final = ("PDPH", "SIH", "mixed")
TARGETINGS: Final = ("blind", "targeted", "unknown", "none")
WINDOWS: Final = ("early", "lasting", "unclear")
ENDPOINTS: Final = ("complete", "any", "no_repeat", "none")
CONTROLS: Final = ("", "sham", "conservative")
VOLUME_BASES: Final = ("reported", "threshold", "recalled", "missing")
COUNT_BASES: Final = ("reported", "derived", "unknown")
LEVEL_BASES: Final = ("", "reported", "assumed")
SITES_AT_ONCE: Final = ("", "one", "several")
TAGS: Final = ("seen", "derived", "recalled")
ROUNDING: Final = 0.51
"""A percentage may differ from its count by this much [percentage points]: sources round to whole figures."""

CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "use": USES,
    "syndrome": SYNDROMES,
    "targeting": TARGETINGS,
    "window": WINDOWS,
    "endpoint_class": ENDPOINTS,
    "control_kind": CONTROLS,
    "volume_basis": VOLUME_BASES,
    "count_basis": COUNT_BASES,
    "level_basis": LEVEL_BASES,
    "sites_at_once": SITES_AT_ONCE,
    "tag": TAGS,
}


@dataclass(frozen=True)
class ReliefRow:
    """One published relief rate.

    Attributes:
        row_id: name of the row.
        patient_set: patients who recur between rows share it.
        arm_key: part of the set; two parts of a set have no patient in common unless one is the whole set.
        use: `primary` rows count; the others say in `use_reason` why not.
        syndrome: PDPH (headache after dural puncture) or SIH (spontaneous intracranial hypotension).
        window: `early` up to 48 h, `lasting` from 3 days or by the need of another patch, `unclear` where not stated.
        endpoint_class: `complete` relief, `any` improvement, `no_repeat` (no further patch).
        volume_low_mL, volume_high_mL: range of the volume [mL]; NaN where that end is not known.
        volume_basis: whether the range is reported, a threshold, recalled, or missing.
        relief_n, relief_total: counts; None where not known.
        relief_pct: relieved [%]; NaN where the source gives none.
        level_low, level_high: most cranial and most caudal interspace of the patch; empty for controls.
        level_sites: interspaces, or ranges of them, where the patches were, cranial first, such as
            `T4/T5-T5/T6; L3/L4`; empty where it may have been anywhere between `level_low` and `level_high`.
        sites_at_once: whether a patch was injected at `one` site or at `several`; empty for controls.
    """

    row_id: str
    patient_set: str
    arm_key: str
    study: str
    year: str
    use: str
    use_reason: str
    syndrome: str
    targeting: str
    window: str
    endpoint_class: str
    control_kind: str
    volume_low_mL: float
    volume_high_mL: float
    volume_basis: str
    relief_n: int | None
    relief_total: int | None
    relief_pct: float
    count_basis: str
    level_low: str
    level_high: str
    level_basis: str
    level_sites: str
    sites_at_once: str
    tag: str
    doi: str

    @property
    def stratum(self) -> tuple[str, str, str, str]:
        """Syndrome, window, targeting and endpoint class: rows of one stratum may be compared."""
        return self.syndrome, self.window, self.targeting, self.endpoint_class

    @property
    def sites(self) -> tuple[tuple[str, str], ...]:
        """Most cranial and most caudal interspace of every site; none for controls."""
        if not self.level_low:
            return ()
        if not self.level_sites:
            return ((self.level_low, self.level_high),)
        ranges = [[end.strip() for end in part.split("-")] for part in self.level_sites.split(";")]
        return tuple((ends[0], ends[-1]) for ends in ranges)

    @property
    def name(self) -> str:
        """Study and year as a reader knows them."""
        return self.study if self.year in self.study else f"{self.study} {self.year}"


def relief_rows() -> tuple[ReliefRow, ...]:
    """Every row of the curated table.

    Raises:
        ValueError: a row breaks the rules; the text names the row and the rule.
    """
    return _read(TABLE)


@cache
def _read(path: Path) -> tuple[ReliefRow, ...]:
    with path.open(newline="", encoding="utf-8") as stream:
        rows = tuple(_row(record) for record in csv.DictReader(stream))
    mistakes = faults(rows)
    if mistakes:
        raise ValueError("; ".join(mistakes))
    return rows


def primary(rows: Iterable[ReliefRow] | None = None) -> list[ReliefRow]:
    """Rows that count, controls among them."""
    return [row for row in (relief_rows() if rows is None else rows) if row.use == "primary"]


def _row(record: Mapping[str, str]) -> ReliefRow:
    return ReliefRow(
        **{
            name: record[name].strip()
            for name in ReliefRow.__dataclass_fields__
            if name not in ("relief_n", "relief_total", "relief_pct", "volume_low_mL", "volume_high_mL")
        },
        relief_n=_count(record["relief_n"]),
        relief_total=_count(record["relief_total"]),
        relief_pct=_number(record["relief_pct"]),
        volume_low_mL=_number(record["volume_low_mL"]),
        volume_high_mL=_number(record["volume_high_mL"]),
    )


def _number(text: str) -> float:
    return float(text) if text.strip() else math.nan


def _count(text: str) -> int | None:
    return int(text) if text.strip() else None


def faults(rows: Sequence[ReliefRow]) -> list[str]:
    """Every rule that rows break, one text each; empty for a sound table."""
    found = [f"{row.row_id}: {fault}" for row in rows for fault in _row_faults(row)]
    names = [row.row_id for row in rows]
    found += [f"{name}: the row is there twice" for name in sorted({n for n in names if names.count(n) > 1})]
    places: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for row in primary(rows):
        places[(row.patient_set, row.window, row.arm_key)].append(row.row_id)
    found += [f"{', '.join(ids)}: the same patients count twice" for ids in places.values() if len(ids) > 1]
    for row in primary(rows):
        others = {o.arm_key for o in primary(rows) if (o.patient_set, o.window) == (row.patient_set, row.window)}
        if row.arm_key == "all" and len(others) > 1:
            found.append(f"{row.row_id}: the whole set counts beside its parts")
    return found


def _row_faults(row: ReliefRow) -> Iterable[str]:
    for column, allowed in CHOICES.items():
        if getattr(row, column) not in allowed:
            yield f"{column} is {getattr(row, column)!r}"
    if not row.row_id or not row.patient_set or not row.use_reason:
        yield "a row has a name, a patient set and a reason for its use"
    if (row.relief_n is None) != (row.relief_total is None):
        yield "a count without its total"
    if (row.relief_n is None) != (row.count_basis == "unknown"):
        yield "count_basis does not fit the count"
    if row.relief_n is not None and row.relief_total is not None:
        if not 0 <= row.relief_n <= row.relief_total:
            yield "more relieved than treated"
        elif not abs(100 * row.relief_n / row.relief_total - row.relief_pct) <= ROUNDING:
            yield "count and percentage disagree"
    if row.use == "primary" and (not 0 <= row.relief_pct <= 100 or row.endpoint_class == "none"):
        yield "a primary row needs a relief rate with its endpoint"
    if (row.targeting == "none") != bool(row.control_kind):
        yield "a control is neither blind nor targeted, and nothing else is"
    if row.volume_low_mL > row.volume_high_mL or row.volume_low_mL < 0:
        yield "the volume's range is upside down"
    if (row.volume_basis == "missing") != (math.isnan(row.volume_low_mL) and math.isnan(row.volume_high_mL)):
        yield "volume_basis does not fit the range"
    if row.control_kind:
        if row.volume_high_mL != 0 or row.level_low or row.level_basis or row.level_sites or row.sites_at_once:
            yield "a control has no volume and no level"
    elif not row.sites_at_once:
        yield "a patch has one site or several"
    elif row.level_low not in INTERSPACES or row.level_high not in INTERSPACES or not row.level_basis:
        yield "the level is no range of interspaces"
    elif INTERSPACES.index(row.level_low) > INTERSPACES.index(row.level_high):
        yield "the levels are not from cranial to caudal"
    elif not _sound_sites(row):
        yield "the sites are not from the first level to the last"


def _sound_sites(row: ReliefRow) -> bool:
    """Whether the sites are interspaces from cranial to caudal that begin and end as the row's levels do."""
    ends = [end for site in row.sites for end in site]
    if not set(ends) <= set(INTERSPACES):
        return False
    places = [INTERSPACES.index(end) for end in ends]
    return places == sorted(places) and (ends[0], ends[-1]) == (row.level_low, row.level_high)
