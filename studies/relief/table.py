"""Relief beside predictions as tables: rows, strata, pairs of early and lasting, and what explains what."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from studies.relief.data import ENDPOINTS, SYNDROMES, TARGETINGS, WINDOWS, ReliefRow
from studies.relief.predicted import RISE, Band, Held
from studies.relief.statistics import Association, associate, clopper_pearson, wilson
from studies.spinalshare import at_shares

DAY: Final = 86400.0
WORDS: Final = {
    "complete": "complete relief",
    "any": "any improvement",
    "no_repeat": "no further patch",
    "unclear": "time not stated",
}


def row_table(held: Sequence[Held], banded: bool = False) -> pd.DataFrame:
    """One line per primary row: relief with both intervals, volume, prediction.

    Args:
        held: rows with their predictions.
        banded: give the rise at other spinal shares of the compliance, too.
    """
    return pd.DataFrame([_line(number, item, banded) for number, item in enumerate(held, 1)])


def _line(number: int, item: Held, banded: bool) -> dict[str, Any]:
    row, found = item.row, item.prediction
    at_low, at_high = at_shares(RISE, item.rise) if banded else (math.nan, math.nan)
    score, exact = intervals(row)
    return {
        "number": number,
        "row_id": row.row_id,
        "study": row.name,
        "patient_set": row.patient_set,
        "syndrome": row.syndrome,
        "window": row.window,
        "targeting": row.targeting,
        "endpoint_class": row.endpoint_class,
        "control_kind": row.control_kind,
        "relief_pct": row.relief_pct,
        "relief_n": row.relief_n,
        "relief_total": row.relief_total,
        "wilson_low_pct": score[0],
        "wilson_high_pct": score[1],
        "exact_low_pct": exact[0],
        "exact_high_pct": exact[1],
        "volume_low_mL": found.volume_mL[0] if found else row.volume_low_mL,
        "volume_high_mL": found.volume_mL[1] if found else row.volume_high_mL,
        "volume_basis": row.volume_basis,
        **_columns("predicted_rise", "_mmHg", found.rise if found else None),
        "predicted_rise_at_share_032_mmHg": at_low,
        "predicted_rise_at_share_069_mmHg": at_high,
        **_columns("predicted_half_decay", "_s", found.half_decay if found else None),
        **_columns("predicted_leak_coverage", "", found.coverage if found else None),
        "stand_in_patient": bool(found and found.stand_in),
        "words": item.words,
        "tag": row.tag,
    }


def intervals(row: ReliefRow) -> tuple[tuple[float, float], tuple[float, float]]:
    """Wilson's and the exact interval [%]; NaN where the count is not known."""
    if row.relief_n is None or row.relief_total is None:
        return (math.nan, math.nan), (math.nan, math.nan)
    score, exact = wilson(row.relief_n, row.relief_total), clopper_pearson(row.relief_n, row.relief_total)
    return (100 * score[0], 100 * score[1]), (100 * exact[0], 100 * exact[1])


def _columns(name: str, unit: str, band: Band | None) -> dict[str, float]:
    value, low, high = (band.value, band.low, band.high) if band else (math.nan,) * 3
    return {f"{name}{unit}": value, f"{name}_low{unit}": low, f"{name}_high{unit}": high}


@dataclass(frozen=True)
class Stratum:
    """Rows that may be compared, and whether relief goes with predicted rise or coverage of the leak among them."""

    syndrome: str
    window: str
    targeting: str
    endpoint_class: str
    rows: int
    association: Association
    plug: Association


def strata(held: Sequence[Held]) -> list[Stratum]:
    """Every stratum that has a treated primary row, in a fixed order."""
    made = []
    keys = {item.row.stratum for item in held if not item.row.control_kind}
    order = (SYNDROMES, WINDOWS, TARGETINGS, ENDPOINTS)
    for key in sorted(keys, key=lambda key: [names.index(part) for names, part in zip(order, key, strict=True)]):
        members = [item for item in held if item.row.stratum == key and not item.row.control_kind]
        rise, coverage = (
            associate(
                [item.row.patient_set for item in members],
                [value if item.comparable else math.nan for value, item in zip(values, members, strict=True)],
                [item.row.relief_pct for item in members],
            )
            for values in ([item.rise for item in members], [item.coverage for item in members])
        )
        made.append(Stratum(*key, len(members), rise, coverage))
    return made


def stratum_table(held: Sequence[Held]) -> pd.DataFrame:
    """The strata as a table; a coefficient only where it may be told."""
    return pd.DataFrame(
        [
            {
                "syndrome": item.syndrome,
                "window": item.window,
                "targeting": item.targeting,
                "endpoint_class": item.endpoint_class,
                "rows": item.rows,
                "sets_with_volume_and_prediction": item.association.sets,
                "rank_correlation": item.association.coefficient,
                "leave_one_out_low": item.association.low,
                "leave_one_out_high": item.association.high,
                "most_influential_set": item.association.most_influential,
                "verdict": item.association.verdict,
                "leak_coverage_verdict": item.plug.verdict,
            }
            for item in strata(held)
        ]
    )


@dataclass(frozen=True)
class Pair:
    """The same patients early and later."""

    study: str
    endpoint_class: str
    control_kind: str
    early_pct: float
    lasting_pct: float


def pairs(rows: Sequence[ReliefRow]) -> list[Pair]:
    """Patient sets with an early and a lasting primary row of the same endpoint and part."""
    found = []
    for early in rows:
        for later in rows:
            same = (early.patient_set, early.arm_key, early.endpoint_class) == (
                later.patient_set, later.arm_key, later.endpoint_class,
            )  # fmt: skip
            both = (early.use, later.use) == ("primary", "primary")
            if same and both and (early.window, later.window) == ("early", "lasting"):
                kind = early.control_kind
                found.append(Pair(early.name, early.endpoint_class, kind, early.relief_pct, later.relief_pct))
    return found


def explained(held: Sequence[Held], plug_modelled: bool) -> list[str]:
    """What the pressure explains, what the plug explains, and what neither does, in sentences that follow the data."""
    treated = [item for item in held if item.prediction and not item.row.control_kind]
    said = []
    if not treated:
        said.append("Pressure: no published row could be predicted from this folder.")
    else:
        rises = [item.rise for item in treated]
        decays = [item.prediction.half_decay for item in treated if item.prediction and item.prediction.half_decay]
        text = (
            f"Pressure: at the published volumes the model predicts a rise of {min(rises):.1f} to {max(rises):.1f} mmHg"
        )
        if decays:
            slowest = max(band.high for band in decays)
            text += f", half of it gone after at most {slowest / 60:.0f} min"
            if slowest < DAY:
                text += "; by itself it can account for relief within hours, not for relief that lasts days"
        else:
            text += "; how long it lasts was not reached by the runs"
        said.append(text + ".")
    covered = [item.prediction.coverage for item in treated if item.prediction and item.prediction.coverage]
    if not plug_modelled:
        said.append("Plug: leaks and clot are not modelled in these runs; what the plug adds cannot be told.")
    elif covered:
        low, high = min(band.low for band in covered), max(band.high for band in covered)
        said.append(f"Plug: the injectate covers {100 * low:.0f} to {100 * high:.0f} % of the leak.")
    controls = [item.row for item in held if item.row.control_kind]
    if controls:
        shares = ", ".join(f"{row.name} {row.control_kind} {row.relief_pct:.0f} %" for row in controls)
        said.append(f"Neither: relief without a patch ({shares}).")
    for pair in pairs([item.row for item in held]):
        if not pair.control_kind:
            way = "falls" if pair.lasting_pct < pair.early_pct else "rises"
            shares = f"from {pair.early_pct:.0f} % early to {pair.lasting_pct:.0f} % later"
            said.append(f"The same patients, {pair.study}: {WORDS[pair.endpoint_class]} {way} {shares}.")
    return said
