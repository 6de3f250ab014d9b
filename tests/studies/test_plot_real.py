"""Pictures of a run of the real model: a short window, a draft mesh, small strain."""

import itertools

import meshio
import numpy as np
import pytest

from fem.quantities import INJECTION_FRAMES, READ_OUTS
from studies.plot.axial import cuts
from studies.plot.run import read_run
from studies.reading import validate_case
from studies.resolve import resolve
from studies.solver import mesh_of

CASE = """
[anatomy]
span = ["T11", "L1"]

[[injection]]
level = "T12/L1"
volume = "1 mL"

[time]
follow_up = "5 s"

[mesh]
size = "draft"

[solver]
kinematics = "linear"
"""
DEFAULT = {"injection": [{"level": "L3/L4", "volume": "20 mL"}]}
LIMIT = 100 * 2**20
"""All files of a default case [bytes]."""

TIMES = INJECTION_FRAMES + 4 + len(READ_OUTS)
"""Output times at most: baseline, injection, its end, 20 s later, those looked at in patients, the end of the run."""

EDGES = ((0, 1), (1, 2), (0, 2), (0, 3), (1, 3), (2, 3))
"""Edges of a VTK quadratic tetrahedron in the order of its mid-side nodes."""


def default_case_bytes(out):
    """Size of all files of a default case [bytes], estimated from the bytes per cell and time of this one."""
    grids = {path: len(meshio.read(path).cells_dict["tetra10"]) for path in (out / "fields").glob("*.vtu")}
    written = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    return written / sum(grids.values()) * TIMES * len(mesh_of(resolve(validate_case(DEFAULT))).cells)


@pytest.mark.slow
def test_pictures_agree_with_the_tables_of_a_real_run(command, tmp_path):
    case, out = tmp_path / "case.toml", tmp_path / "out"
    case.write_text(CASE, encoding="utf-8")
    called = command("run", case, "--out", out)
    assert called.status == 0, called.err
    for path in (out / "fields").glob("*.vtu"):
        grid = meshio.read(path)
        corners = grid.points[grid.cells_dict["tetra10"]]
        for node, (a, b) in enumerate(EDGES, 4):
            # The sac's sections are curved by its baseline, by less than a tenth of a millimetre.
            assert np.abs(corners[:, node] - 0.5 * (corners[:, a] + corners[:, b])).max() < 2e-4, path.name
    assert default_case_bytes(out) < LIMIT
    run = read_run(out)
    assert [name for _, name in run.places.ticks] == ["L1", "T12", "T11"]
    # Without its root sleeves the cut has the area of the profile's slab, at the foramina as between them.
    for moment in run.fields.moments:
        rows = run.profile[np.isclose(run.profile["time_s"], moment.time)].sort_values("z_mm")
        low, high = run.places.levels["T12"]
        for z in (0.5 * (low + high), run.injected_heights["T12/L1"]):
            table = float(np.interp(z, rows["z_mm"], rows["sac_area_mm2"]))
            assert cuts(moment, z)["thecal"].area == pytest.approx(table, rel=0.02)
    before, after = itertools.islice(run.fields.moments, 2)
    z = run.injected_heights["T12/L1"]
    assert cuts(after, z)["sac"].area < cuts(before, z)["sac"].area
    called = command("plot", out, "--no-animation")
    assert called.status == 0, called.err
    assert not (out / "figures" / "injection.gif").exists()
    assert (out / "figures" / "axial.png").stat().st_size > 20_000
