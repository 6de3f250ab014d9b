"""Binomial intervals and rank correlation of few studies, with the refusal to say what cannot be said."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.stats import beta, norm, rankdata

LEVEL: Final = 0.95
"""Confidence level of every interval."""

LEAST_SETS: Final = 8
"""Patient sets below which no coefficient is printed."""

CANNOT_TELL: Final = "cannot tell"


def wilson(successes: int, total: int, level: float = LEVEL) -> tuple[float, float]:
    """Wilson's score interval of a proportion, as fractions.

    Wilson 1927 J Am Stat Assoc 22:209, doi:10.1080/01621459.1927.10502953.

    Raises:
        ValueError: not 0 <= successes <= total, or no total.
    """
    _check(successes, total)
    z = float(norm.ppf(0.5 + level / 2))
    share = successes / total
    middle = (share + z**2 / (2 * total)) / (1 + z**2 / total)
    half = z / (1 + z**2 / total) * math.sqrt(share * (1 - share) / total + z**2 / (4 * total**2))
    return max(middle - half, 0.0), min(middle + half, 1.0)


def clopper_pearson(successes: int, total: int, level: float = LEVEL) -> tuple[float, float]:
    """The exact interval of a proportion, as fractions; never shorter than it claims.

    Clopper & Pearson 1934 Biometrika 26:404, doi:10.1093/biomet/26.4.404.

    Raises:
        ValueError: not 0 <= successes <= total, or no total.
    """
    _check(successes, total)
    tail = (1 - level) / 2
    low = float(beta.ppf(tail, successes, total - successes + 1)) if successes else 0.0
    high = float(beta.ppf(1 - tail, successes + 1, total - successes)) if successes < total else 1.0
    return low, high


def _check(successes: int, total: int) -> None:
    if total < 1 or not 0 <= successes <= total:
        raise ValueError(f"{successes} of {total} is no proportion")


def spearman(x: Sequence[float], y: Sequence[float]) -> float:
    """Spearman's rank correlation; NaN where one side does not vary."""
    a, b = rankdata(np.asarray(x, float)), rankdata(np.asarray(y, float))
    a, b = a - a.mean(), b - b.mean()
    size = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / size if size > 0 else math.nan


@dataclass(frozen=True)
class Association:
    """Rank correlation of one stratum.

    Attributes:
        sets: patient sets with both a known prediction and a relief rate.
        coefficient: Spearman's; None where there are too few sets or one side does not vary.
        low, high: smallest and largest coefficient with one patient set left out; None as above.
        most_influential: the set whose absence changes the coefficient most.
        verdict: in words.
    """

    sets: int
    coefficient: float | None
    low: float | None
    high: float | None
    most_influential: str
    verdict: str


def by_set(sets: Sequence[str], x: Sequence[float], y: Sequence[float]) -> Mapping[str, tuple[float, float]]:
    """One point per patient set: the mean over its parts, so that a study of many arms counts once."""
    groups: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for name, a, b in zip(sets, x, y, strict=True):
        if math.isfinite(a) and math.isfinite(b):
            groups[name].append((a, b))
    return {
        name: (sum(a for a, _ in points) / len(points), sum(b for _, b in points) / len(points))
        for name, points in groups.items()
    }


def associate(sets: Sequence[str], x: Sequence[float], y: Sequence[float]) -> Association:
    """Rank correlation by patient set with leave-one-out, or the statement that it cannot be told.

    Args:
        sets: patient set of each row.
        x: prediction of each row; NaN where there is none.
        y: relief of each row; NaN where there is none.
    """
    points = by_set(sets, x, y)
    number = len(points)
    if number < LEAST_SETS:
        return Association(number, None, None, None, "", f"{CANNOT_TELL}: {number} of at least {LEAST_SETS} sets")
    names = list(points)
    whole = spearman(*zip(*points.values(), strict=True))
    if math.isnan(whole):
        return Association(number, None, None, None, "", f"{CANNOT_TELL}: one side does not vary")
    left = {
        out: spearman(*zip(*(point for name, point in points.items() if name != out), strict=True)) for out in names
    }
    finite = {name: value for name, value in left.items() if not math.isnan(value)}
    if len(finite) < number:
        return Association(number, None, None, None, "", f"{CANNOT_TELL}: it hangs on one set")
    low, high = min(finite.values()), max(finite.values())
    most = max(finite, key=lambda name: abs(finite[name] - whole))
    sign = "keeps its sign" if low * high > 0 else "changes its sign"
    verdict = f"{whole:+.2f} ({low:+.2f} to {high:+.2f} with one set left out; {sign})"
    return Association(number, whole, low, high, most, verdict)
