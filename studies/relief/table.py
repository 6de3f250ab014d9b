"""Relief beside predictions as tables: rows, strata, pairs of early and lasting, and what explains what."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import pandas as pd

from studies.recorded import BETWEEN, mesh_notes, step_notes
from studies.relief.data import ENDPOINTS, SYNDROMES, TARGETINGS, WINDOWS, ReliefRow
from studies.relief.predicted import Band, Held
from studies.relief.statistics import Association, associate, clopper_pearson, wilson
from studies.shares import COVERED

HOUR: Final = 3600.0
FIRST_READ: Final = {"early": 2 * HOUR, "lasting": 72 * HOUR}
"""When the first outcome of a window was read [s]: Taivainen's after 2 h; lasting ones by definition, but for a repeat
patch, whose time no source gives."""

FIRST_READ_WORDS: Final = {"early": "2 h or later", "lasting": "3 days or later, or another patch"}
SAME: Final = 0.05
"""Coverages closer than this [1] do not tell one series from another."""

POOLED: Final = "pooled"
"""In the place of the endpoint class where all classes are put together."""

WORDS: Final = {
    "complete": "complete relief",
    "any": "any improvement",
    "no_repeat": "no further patch",
    "unclear": "time not stated or between",
}
PAIR_WORDS: Final = {"early": "early", "unclear": "at a time not stated"}


def row_table(held: Sequence[Held]) -> pd.DataFrame:
    """One line per primary row: relief with both intervals, volume, prediction, mesh of its runs."""
    return pd.DataFrame([_line(number, item) for number, item in enumerate(held, 1)])


def _line(number: int, item: Held) -> dict[str, Any]:
    row, found = item.row, item.prediction
    at_low, at_high = found.at_shares if found and found.at_shares else (math.nan, math.nan)
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
        "level_low": row.level_low,
        "level_high": row.level_high,
        "level_basis": row.level_basis,
        **_columns("predicted_rise", "_mmHg", found.rise if found else None),
        "predicted_rise_at_share_032_mmHg": at_low,
        "predicted_rise_at_share_069_mmHg": at_high,
        **_columns("predicted_half_decay", "_s", found.half_decay if found else None),
        **_columns("predicted_leak_coverage", "", found.coverage if found else None),
        "predicted_levels": "; ".join(found.levels) if found else "",
        "predicted_approaches": "; ".join(found.approaches) if found else "",
        "stand_in_patient": bool(found and found.stand_in),
        "words": item.words,
        "tag": row.tag,
        "mesh": BETWEEN.join(mesh_notes(found.runs)) if found else "",
        "steps": BETWEEN.join(step_notes(found.runs)) if found else "",
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
    """Rows that are compared, and whether relief goes with predicted rise or coverage of the leak among them.

    Attributes:
        endpoint_class: of all rows, or `POOLED`.
        endpoint_classes: how many of them are mixed.
        reported_sets: patient sets that report their volume, of those that enter the correlation with the rise.
        association: with the predicted rise.
        plug: with the predicted leak coverage.
    """

    syndrome: str
    window: str
    targeting: str
    endpoint_class: str
    endpoint_classes: int
    rows: int
    reported_sets: int
    association: Association
    plug: Association


def strata(held: Sequence[Held]) -> list[Stratum]:
    """Every stratum that has a treated primary row, in a fixed order.

    Of syndrome, window and targeting first each endpoint class alone, over rows that report their volume; then all
    classes together, a volume that is recalled or bounded at the middle of its prediction.
    """
    treated = [item for item in held if not item.row.control_kind]
    order = (SYNDROMES, WINDOWS, TARGETINGS, (*ENDPOINTS, POOLED))
    keys = {item.row.stratum for item in treated}
    keys |= {(*key[:3], POOLED) for key in keys}
    made = []
    for key in sorted(keys, key=lambda key: [names.index(part) for names, part in zip(order, key, strict=True)]):
        pooled = key[3] == POOLED
        members = [item for item in treated if item.row.stratum[:3] == key[:3]]
        members = [item for item in members if pooled or item.row.endpoint_class == key[3]]
        made.append(_stratum(key, members, pooled))
    return made


def _stratum(key: tuple[str, str, str, str], members: Sequence[Held], pooled: bool) -> Stratum:
    entering = [item for item in members if not item.rise_left_out(pooled)]
    covered = [item for item in members if not item.coverage_left_out(pooled)]
    return Stratum(
        *key,
        endpoint_classes=len({item.row.endpoint_class for item in entering}),
        rows=len(members),
        reported_sets=_reported(entering),
        association=_told(
            members, [item.rise for item in members], [item.rise_left_out(pooled) for item in members],
            _mixture(entering) if pooled else "",
        ),
        plug=_told(
            members, [item.coverage for item in members], [item.coverage_left_out(pooled) for item in members],
            _mixture(covered) if pooled else "",
        ),
    )  # fmt: skip


def _reported(members: Sequence[Held]) -> int:
    return len({item.row.patient_set for item in members if item.row.volume_basis == "reported"})


def _mixture(members: Sequence[Held]) -> str:
    """What a pooled correlation puts together; empty where nothing enters."""
    if not members:
        return ""
    sets = len({item.row.patient_set for item in members})
    classes = len({item.row.endpoint_class for item in members})
    mixed = "one endpoint class" if classes == 1 else f"{classes} endpoint classes mixed"
    return f"{_reported(members)} of {sets} sets report their volume, {mixed}"


def _told(members: Sequence[Held], values: Sequence[float], reasons: Sequence[str], mixture: str) -> Association:
    """Rank correlation over members without a reason against it; the verdict says why sets are left out."""
    told = associate(
        [item.row.patient_set for item in members],
        [math.nan if reason else value for value, reason in zip(values, reasons, strict=True)],
        [item.row.relief_pct for item in members],
    )
    entered = {item.row.patient_set for item, reason in zip(members, reasons, strict=True) if not reason}
    left = {item.row.patient_set: reason for item, reason in zip(members, reasons, strict=True)}
    counts = Counter(reason for name, reason in left.items() if name not in entered)
    out = ", ".join(f"{number} {reason}" for reason, number in sorted(counts.items()))
    return replace(told, verdict="; ".join(filter(None, (told.verdict, out and f"left out: {out}", mixture))))


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
                "sets_compared": item.association.sets,
                "sets_with_reported_volume": item.reported_sets,
                "endpoint_classes": item.endpoint_classes,
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
    """The same patients first and later; `first_window` is `unclear` where the source does not state the first time."""

    study: str
    endpoint_class: str
    control_kind: str
    first_window: str
    first_pct: float
    lasting_pct: float


def pairs(rows: Sequence[ReliefRow]) -> list[Pair]:
    """Patient sets with a lasting primary row and one before it, of the same endpoint and part."""
    found = []
    for first in rows:
        for later in rows:
            same = (first.patient_set, first.arm_key, first.endpoint_class) == (
                later.patient_set, later.arm_key, later.endpoint_class,
            )  # fmt: skip
            both = (first.use, later.use) == ("primary", "primary")
            if same and both and first.window != "lasting" and later.window == "lasting":
                kind, window = first.control_kind, first.window
                found.append(Pair(first.name, first.endpoint_class, kind, window, first.relief_pct, later.relief_pct))
    return found


def explained(held: Sequence[Held], plug_modelled: bool) -> list[str]:
    """What the pressure explains, what the plug explains, and what neither does, in sentences that follow the data.

    One for each syndrome and window, then the same patients early and late.
    """
    said = []
    if not any(item.prediction and not item.row.control_kind for item in held):
        said.append("Pressure: no published row could be predicted from this folder.")
    for syndrome in SYNDROMES:
        for window in WINDOWS:
            members = [item for item in held if (item.row.syndrome, item.row.window) == (syndrome, window)]
            if any(not item.row.control_kind for item in members):
                said.append(_window(f"{syndrome}, {WORDS.get(window, window)}", window, members, plug_modelled))
    for pair in pairs([item.row for item in held]):
        if not pair.control_kind:
            way = "falls" if pair.lasting_pct < pair.first_pct else "rises"
            shares = f"from {pair.first_pct:.0f} % {PAIR_WORDS[pair.first_window]} to {pair.lasting_pct:.0f} % later"
            said.append(f"The same patients, {pair.study}: {WORDS[pair.endpoint_class]} {way} {shares}.")
    return said


def _window(name: str, window: str, members: Sequence[Held], plug_modelled: bool) -> str:
    """The line of one syndrome and window."""
    treated = [item for item in members if not item.row.control_kind]
    controls = [item.row for item in members if item.row.control_kind]
    covered = [item.coverage for item in treated if not math.isnan(item.coverage)]
    bare = ", ".join(f"{row.name} {row.control_kind} {row.relief_pct:.0f} %" for row in controls)
    neither = _neither(treated, controls, window)
    parts = (
        f"pressure: {_pressure(treated, window)}",
        f"plug: {_plug(covered, plug_modelled)}",
        ", ".join(
            f"{WORDS[name]} {_between([item.row.relief_pct for item in alike], '.0f')} % in {_rows(alike)}"
            for name, alike in _by_endpoint(treated).items()
        ),
        f"without a patch: {bare}" if bare else "no control",
        f"neither explains {', or '.join(neither)}" if neither else "",
    )
    return f"{name}: {'; '.join(filter(None, parts))}."


def _neither(treated: Sequence[Held], controls: Sequence[ReliefRow], window: str) -> list[str]:
    """What neither mechanism explains, as far as the predictions tell."""
    said = ["the relief without a patch"] if any(row.relief_pct > 0 for row in controls) else []
    if any(_covered_alike(alike) for alike in _by_endpoint(treated).values()):
        said.append("why relief differs where the leak is covered alike")
    predicted = [(item.row, item.prediction.coverage) for item in treated if item.prediction]
    bare = [row.relief_pct for row, covered in predicted if covered and covered.high < COVERED]
    if bare and _gone(treated, window):
        said.append(f"the relief of up to {max(bare):.0f} % where less than half of the leak is covered anywhere")
    return said


def _by_endpoint(treated: Sequence[Held]) -> dict[str, list[Held]]:
    """Rows by class of their endpoint: relief of one class says nothing beside that of another."""
    classes = {name: [item for item in treated if item.row.endpoint_class == name] for name in ENDPOINTS}
    return {name: alike for name, alike in classes.items() if alike}


def _covered_alike(alike: Sequence[Held]) -> bool:
    """Whether rows of one endpoint differ in their relief and not in the coverage of their leaks."""
    covered = [item.coverage for item in alike]
    relief = {item.row.relief_pct for item in alike}
    return len(relief) > 1 and not any(map(math.isnan, covered)) and max(covered) - min(covered) < SAME


def _rows(members: Sequence[Held]) -> str:
    return f"{len(members)} {'row' if len(members) == 1 else 'rows'}"


def _slowest(treated: Sequence[Held]) -> float:
    """After how long half of every predicted rise is gone [s]; NaN where that was not reached everywhere."""
    predicted = [item.prediction for item in treated if item.prediction]
    bands = [found.half_decay for found in predicted if found.half_decay and not found.half_decay_open]
    return max(band.high for band in bands) if bands and len(bands) == len(predicted) else math.nan


def _gone(treated: Sequence[Held], window: str) -> bool:
    """Whether half of every predicted rise is gone before an outcome was read; not where that time is not known."""
    return _slowest(treated) < FIRST_READ.get(window, math.nan)


def _pressure(treated: Sequence[Held], window: str) -> str:
    predicted = [item.prediction for item in treated if item.prediction]
    if not predicted:
        return "not predicted"
    text = f"a rise of {_between([found.rise.value for found in predicted], '.1f')} mmHg"
    other = sum(found.stand_in for found in predicted)
    text += f" ({other} of {len(predicted)} predicted with another patient)" if other else ""
    slowest = _slowest(treated)
    if math.isnan(slowest):
        return f"{text}, half of it not gone everywhere by the end of the runs"
    text += f", half of it gone after at most {slowest / 60:.1f} min"
    return text + (f", before the outcomes ({FIRST_READ_WORDS[window]})" if _gone(treated, window) else "")


def _plug(covered: Sequence[float], modelled: bool) -> str:
    if not modelled:
        return "leaks and clot are not modelled in these runs"
    if not covered:
        return "leak coverage not computed"
    share = _between([100 * share for share in covered], ".0f")
    return f"{share} % of the leak covered on the mean over places and volumes, which closing it needs"


def _between(values: Sequence[float], form: str) -> str:
    low, high = format(min(values), form), format(max(values), form)
    return low if low == high else f"{low} to {high}"
