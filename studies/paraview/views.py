"""Three standard views of a run folder in ParaView: axial cut, midline, and three dimensions.

    pvpython views.py RUN [OUT]

writes `axial.png`, `midline.png` (three times as wide as it is), `space.png`, and the state file `views.pvsm`, which
ParaView's window opens, to OUT (default: RUN/paraview). It needs nothing but ParaView 5.11 or later; points are the
canal at the patient's baseline, and every view shows the deformed shape at the time of the largest injected content.
"""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Sequence
from typing import Any

MMHG = 133.322387415
"""One millimetre of mercury in pascal."""

COVERED = 0.10
"""Injected content per reference volume that counts as covered [1]."""

BESIDE = 1e-5
"""The midline cut is this far beside the midline [m], where mirrored meshes have faces."""

WIDER = 3.0
"""The canal is drawn this many times as wide as it is, in the midline view."""

EPIDURAL, THECAL, CORD_CELLS = (1, 5), (6, 7), (8, 8)
"""Numbers of the subregions, first and last, of the cell array `subregion`."""

HIGH = 1e9
SIZES = {"axial": (1200, 900), "midline": (700, 1200), "space": (900, 1200)}
FROM_FAT_TO_PATCH = [0.0, 0.17, 0.17, 0.17, 0.3, 0.48, 0.23, 0.03, 0.65, 0.84, 0.37, 0.0, 1.0, 1.0, 0.69, 0.40]
"""Injected content and its colour (red, green, blue), as in the project's own pictures."""

PATCH, SAC, CORD = (0.84, 0.37, 0.0), (0.50, 0.72, 0.87), (0.90, 0.76, 0.16)


def place(run: str) -> tuple[float, float]:
    """Time [s] and height [m] of the slice with the most injected content; the middle of the first profile if none."""
    with open(os.path.join(run, "profile.csv"), newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    best = max(rows, key=lambda row: float(row["canal_injected"] or 0.0))
    return float(best["time_s"]), 1e-3 * float(best["z_mm"])


def nearest(times: Sequence[float], wanted: float) -> float:
    """The output time nearest to a wanted one; asked for one that is later by a round-off, ParaView shows the next."""
    return min(times, key=lambda time: abs(time - wanted))


def views(run: str, out: str) -> list[str]:
    """Write the three pictures and the state file; gives their paths."""
    from paraview import simple  # type: ignore[import-not-found]

    simple._DisableFirstRenderCameraReset()
    time, height = place(run)
    reader = simple.PVDReader(FileName=os.path.abspath(os.path.join(run, "fields.pvd")))
    time = nearest(list(reader.TimestepValues), time)
    simple.GetAnimationScene().UpdateAnimationUsingDataTimeSteps()
    simple.GetTimeKeeper().Time = time
    reader.UpdatePipeline(time)
    warped = simple.WarpByVector(Input=reader, Vectors=["POINTS", "displacement_m"], ScaleFactor=1.0)
    # x to the left, y anterior, z cranial is a left-handed frame, and a screen is right-handed: mirrored, left is left.
    deformed = simple.Transform(Input=warped)
    deformed.Transform.Scale = [-1.0, 1.0, 1.0]
    deformed.UpdatePipeline(time)
    bounds = deformed.GetDataInformation().GetBounds()
    middle = [0.5 * (bounds[0] + bounds[1]), 0.5 * (bounds[2] + bounds[3]), 0.5 * (bounds[4] + bounds[5])]
    os.makedirs(out, exist_ok=True)
    made = [
        _axial(simple, deformed, out, time, height, middle),
        _midline(simple, deformed, out, time, middle, bounds),
        _space(simple, deformed, out, time, middle, bounds),
    ]
    state = os.path.join(out, "views.pvsm")
    simple.SaveState(state)
    for view in simple.GetRenderViews():  # left to the end of the process, views take their windows down too late
        simple.Delete(view)
    return [*made, state]


def _axial(simple: Any, deformed: Any, out: str, time: float, height: float, middle: Sequence[float]) -> str:
    cut = simple.Slice(Input=deformed, SliceType="Plane")
    cut.SliceType.Origin = [0.0, 0.0, height]
    cut.SliceType.Normal = [0.0, 0.0, 1.0]
    view = _view(simple, "axial", time)
    span = (0.0, 1.0)
    shown = simple.Show(_between(simple, cut, "subregion", *EPIDURAL), view)
    array = ("CELLS", "injected_content")
    _coloured(simple, view, shown, array, span, "injected content [1]", FROM_FAT_TO_PATCH)
    _solid(simple, view, _between(simple, cut, "subregion", *THECAL), SAC, 1.0)
    _solid(simple, view, _between(simple, cut, "subregion", *CORD_CELLS), CORD, 1.0)
    # From the feet, anterior up: the patient's left is on the right, as on CT.
    _look(view, [0.0, middle[1], height], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0], 0.018)
    return _shot(simple, view, out, "axial")


def _midline(
    simple: Any, deformed: Any, out: str, time: float, middle: Sequence[float], bounds: Sequence[float]
) -> str:
    cut = simple.Slice(Input=deformed, SliceType="Plane")
    cut.SliceType.Origin = [-BESIDE, 0.0, 0.0]
    cut.SliceType.Normal = [1.0, 0.0, 0.0]
    wide = simple.Transform(Input=cut)
    wide.Transform.Scale = [1.0, WIDER, 1.0]
    mercury = simple.Calculator(Input=wide, AttributeType="Point Data", ResultArrayName="pressure_mmHg")
    mercury.Function = f"pressure_Pa/{MMHG}"
    mercury.UpdatePipeline(time)
    low, high = mercury.PointData["pressure_mmHg"].GetRange(0)
    view = _view(simple, "midline", time)
    shown = simple.Show(mercury, view)
    span = (low, high if high > low else low + 1.0)
    _coloured(simple, view, shown, ("POINTS", "pressure_mmHg"), span, "pore pressure [mmHg]", "Viridis (matplotlib)")
    at = [middle[0], WIDER * middle[1], middle[2]]
    _look(view, at, [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0], 0.55 * (bounds[5] - bounds[4]))
    return _shot(simple, view, out, "midline")


def _space(simple: Any, deformed: Any, out: str, time: float, middle: Sequence[float], bounds: Sequence[float]) -> str:
    view = _view(simple, "space", time)
    _solid(simple, view, _between(simple, deformed, "subregion", *CORD_CELLS), CORD, 1.0)
    _solid(simple, view, _between(simple, deformed, "subregion", *THECAL), SAC, 0.5)
    epidural = _between(simple, deformed, "subregion", *EPIDURAL)
    _solid(simple, view, _between(simple, epidural, "injected_content", COVERED, HIGH), PATCH, 0.55)
    towards = [-0.55, -0.80, 0.15]  # from behind and left
    _look(view, middle, towards, [0.0, 0.0, 1.0], 0.55 * (bounds[5] - bounds[4]))
    return _shot(simple, view, out, "space")


def _between(simple: Any, source: Any, name: str, low: float, high: float) -> Any:
    chosen = simple.Threshold(Input=source, Scalars=["CELLS", name])
    chosen.ThresholdMethod = "Between"
    chosen.LowerThreshold, chosen.UpperThreshold = float(low), float(high)
    return simple.ExtractSurface(Input=chosen)


def _solid(simple: Any, view: Any, source: Any, colour: Sequence[float], opacity: float) -> None:
    shown = simple.Show(source, view)
    shown.ColorArrayName = ["POINTS", ""]
    shown.AmbientColor = shown.DiffuseColor = list(colour)
    shown.Opacity = opacity


def _coloured(
    simple: Any, view: Any, shown: Any, array: tuple[str, str], span: tuple[float, float], title: str, colours: Any
) -> None:
    simple.ColorBy(shown, array)
    shown.Ambient, shown.Diffuse = 1.0, 0.0  # unlit, so that the colours are those of the bar
    table = simple.GetColorTransferFunction(array[1])
    if isinstance(colours, str):
        table.ApplyPreset(colours, True)
    else:
        table.RGBPoints, table.ColorSpace = colours, "RGB"
    table.RescaleTransferFunction(*span)
    bar = simple.GetScalarBar(table, view)
    bar.Title, bar.ComponentTitle = title, ""
    bar.TitleFontSize = bar.LabelFontSize = 20
    bar.AutomaticLabelFormat, bar.LabelFormat, bar.RangeLabelFormat = 0, "%.1f", "%.1f"
    bar.WindowLocation, bar.ScalarBarLength = "Lower Right Corner", 0.4
    bar.TitleColor = bar.LabelColor = [0.0, 0.0, 0.0]
    shown.SetScalarBarVisibility(view, True)


def _view(simple: Any, name: str, time: float) -> Any:
    view = simple.CreateView("RenderView")
    view.ViewSize = list(SIZES[name])
    view.UseColorPaletteForBackground = 0
    view.Background = [1.0, 1.0, 1.0]
    view.OrientationAxesVisibility = 0
    view.ViewTime = time
    view.CameraParallelProjection = 1
    return view


def _look(view: Any, at: Sequence[float], towards: Sequence[float], up: Sequence[float], half_height: float) -> None:
    view.CameraFocalPoint = list(at)
    view.CameraPosition = [a + 0.5 * t for a, t in zip(at, towards, strict=True)]
    view.CameraViewUp = list(up)
    view.CameraParallelScale = half_height


def _shot(simple: Any, view: Any, out: str, name: str) -> str:
    path = os.path.join(out, f"{name}.png")
    simple.Render(view)
    simple.SaveScreenshot(path, view, ImageResolution=list(SIZES[name]))
    return path


def main(arguments: Sequence[str]) -> int:
    """Command line: run folder, then where the pictures go."""
    if not 1 <= len(arguments) <= 2 or not os.path.isfile(os.path.join(arguments[0], "fields.pvd")):
        given = f'"{arguments[0]}", no fields.pvd' if arguments else "nothing"
        print(f"views.py: RUN: got {given}; allowed is a run folder with fields", file=sys.stderr)
        return 2
    out = arguments[1] if len(arguments) == 2 else os.path.join(arguments[0], "paraview")
    for path in views(arguments[0], out):
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
