"""Tables and figures of the verification."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

from studies.verification.problem import Outcome, Study

STYLE = Path(__file__).parents[1] / "bloodpatch.mplstyle"
MARKERS = "osD^v<>pPX*"


def number(value: float) -> str:
    """A figure for a table."""
    return "0" if value == 0 else f"{value:.1e}"


def write_tables(outcomes: Sequence[Outcome], out: Path) -> None:
    """Write ``verification.csv`` and ``verification.md`` to a folder."""
    out.mkdir(parents=True, exist_ok=True)
    with open(out / "verification.csv", "w", newline="", encoding="utf-8") as file:
        rows = [asdict(outcome) for outcome in outcomes]
        writer = csv.DictWriter(file, list(Outcome.__dataclass_fields__))
        writer.writeheader()
        writer.writerows(rows)
    (out / "verification.md").write_text(markdown(outcomes), encoding="utf-8")


def markdown(outcomes: Sequence[Outcome]) -> str:
    """The verdicts as a Markdown table."""
    lines = ["| problem | quantity | error | limit | order | expected | verdict |", "|---|---|--:|--:|--:|--:|---|"]
    for one in outcomes:
        order = "" if math.isnan(one.order) else f"{one.order:.2f}"
        expected = "" if one.expected is None else f"{one.expected:g}"
        verdict = "pass" if one.passed else "**FAIL**"
        cells = (one.problem, one.quantity, number(one.error), number(one.limit), order, expected, verdict)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def figure(study: Study, out: Path) -> Path:
    """Draw errors over levels and, where there are profiles, computed points on exact lines; return the file."""
    out.mkdir(parents=True, exist_ok=True)
    problem, levels = study.problem, sorted(study.results)
    finest = study.results[levels[-1]]
    style = [str(STYLE)] if STYLE.is_file() else []
    with plt.style.context(style):
        panels = 2 if finest.curves else 1
        drawing, axes = plt.subplots(1, panels, figsize=(4.2 * panels + 1.2, 3.8), squeeze=False)
        left = axes[0, 0]
        for k, check in enumerate(problem.checks()):
            errors = [max(study.results[level].errors[check.quantity], 1e-17) for level in levels]
            (line,) = left.loglog(levels, errors, marker=MARKERS[k % len(MARKERS)], label=check.quantity)
            if check.order is not None and len(levels) > 1:
                design = [errors[0] * (levels[0] / level) ** check.order for level in levels]
                left.loglog(levels, design, ":", color=line.get_color(), linewidth=0.8)
        left.set_xlabel(problem.axis)
        left.set_ylabel("relative error (dotted: design order)")
        left.set_xticks(levels, [str(level) for level in levels])
        left.minorticks_off()
        left.set_title(problem.title)
        left.legend(loc="upper left", bbox_to_anchor=(0, -0.16), ncols=2, fontsize=6)
        if finest.curves:
            right = axes[0, 1]
            for k, curve in enumerate(finest.curves):
                (line,) = right.plot(curve.exact_x, curve.exact)
                right.plot(
                    curve.x,
                    curve.computed,
                    MARKERS[k % len(MARKERS)],
                    mfc="none",
                    ms=3.5,
                    color=line.get_color(),
                    label=curve.label,
                )
            right.set_xlabel(finest.axes[0])
            right.set_ylabel(finest.axes[1])
            right.set_title("exact (lines) and computed (symbols)")
            right.legend()
        path = out / f"verify_{problem.name}.png"
        drawing.savefig(path, bbox_inches="tight")
        plt.close(drawing)
    return path
