"""The convergence of the production case, read off sweep folders whose orders, limits and bands are known."""

from __future__ import annotations

import csv
import math
import tomllib
from pathlib import Path

import pytest

import fem
from studies.cli import main
from studies.errors import InputError
from studies.files import write_json
from studies.provenance import DEFAULT_STEPS, of_version
from studies.runfolder import Status, write_status
from studies.standing import case_states
from studies.study import read_study
from studies.sweep import prepare
from studies.verification.convergence import convergence, observed
from studies.verification.production import HEADLINES, read_production
from studies.verification.production_report import network_band, stated_errors

STUDY = Path(__file__).parents[2] / "studies" / "cases" / "production.toml"
CELLS = {"5": 3_375, "4": 8_000, "2.5": 30_000, "2": 44_000, "1.6": 60_000}
LENGTH = {"draft": "5", "default": "4", "fine": "2.5", "2 mm": "2", "1.6 mm": "1.6"}

DISPLACED, STATIC, SAC, CORD = (
    "csf_displaced_peak_mL",
    "epidural_pressure_static_rise_mmHg",
    "sac_area_min_ratio",
    "cord_displacement_max_mm",
)


def h(cells: int) -> float:
    return (cells / 1000) ** (-1 / 3)


def summary(case: dict, cells: int, window_change: float) -> dict[str, float]:
    """Values with known limits: order 2 and 1 in the mesh, 1 in time, linear in the network."""
    step = float(case["time"]["injection_step"].split()[0])
    stiffness = float(case["materials"]["network"]["youngs_modulus"].split()[0])
    wide = case["anatomy"]["span"][0] != "T10"
    displaced = 12.0 * (1 - 0.4 * h(cells) ** 2) * (1 + 0.004 * step) * (1 + window_change * wide)
    share = case["csf"].get("spinal_share", 0.5)
    return {
        DISPLACED: displaced,
        STATIC: 8.0 * (1 + 0.3 * h(cells)) + 0.01 * step,
        SAC: 0.6 + 0.01 * (-1) ** (cells // 10_000 % 2) * h(cells),  # no order
        CORD: 0.9 - 0.001 * stiffness,
        "csf_pressure_rise_mmHg": 10.0 * share,
        "mesh_quality_min": 0.2,
        "wall_time_s": 100.0 * cells,
        "resorbed_mL": 0.0,
    }


def made(folder: Path, window_change: float = 0.01, leave_out: str = "") -> Path:
    """A finished sweep of the study; a case whose name holds `leave_out` has not run."""
    prepare(read_study(STUDY, [], []), folder)
    for state in case_states(folder):
        if leave_out and leave_out in state.name:
            continue
        case = tomllib.loads(state.entry["case"])
        cells = CELLS[LENGTH[case["mesh"]["size"]]]
        state.path.mkdir(parents=True)
        (state.path / "case.toml").write_text(state.entry["case"], encoding="utf-8")
        write_json(state.path / "provenance.json", {"mesh": {"cells": cells}, "model_version": "7"})
        values = {name: {"value": value} for name, value in summary(case, cells, window_change).items()}
        write_json(state.path / "summary.json", values)
        write_status(state.path, Status("done", key=state.entry["key"]))
    return folder


# -- the procedure ---------------------------------------------------------------------------------------------------


def test_published_example() -> None:
    # Celik et al. 2008, table 1: 18000, 8000 and 4500 cells in the plane; p 1.53, extrapolated 6.1685, GCI 2.2 %
    sizes = [cells**-0.5 for cells in (18_000, 8_000, 4_500)]
    found = convergence(sizes, [6.063, 5.972, 5.863], 2.0)
    assert found.order == pytest.approx(1.53, abs=5e-3)
    assert found.extrapolated == pytest.approx(6.1685, abs=5e-5)
    assert found.index_at(0) == pytest.approx(0.022, abs=5e-4)


@pytest.mark.parametrize("order", [0.7, 1.0, 1.6, 2.0])
def test_known_orders_are_found_on_uneven_sizes(order: float) -> None:
    sizes = [1.0, 1.3, 1.9, 4.0]
    values = [3 - 0.7 * size**order for size in sizes]
    found = convergence(sizes, values, 2.0)
    assert found.order == pytest.approx(order, rel=1e-8)  # digits lost in the differences
    assert found.extrapolated == pytest.approx(3.0, rel=1e-8)
    for index, size in enumerate(sizes):
        assert found.error_at(index) == pytest.approx(1.25 * 0.7 * size**order, rel=1e-7)


def test_what_has_no_order_is_not_extrapolated() -> None:
    for values in ([1.0, 1.1, 1.05], [1.0, 2.0, 2.5]):  # oscillates, diverges
        found = convergence([1, 2, 4], values, 2.0)
        assert math.isnan(found.order)
        assert found.extrapolated == values[0]
        assert found.error_at(0) == pytest.approx(3 * (max(values) - min(values)))
        assert found.error_at(2) > found.error_at(0)
    assert convergence([1, 2, 4], [1.0, 1.0, 1.0], 2.0).error_at(0) == 0.0


def test_a_coarse_value_near_the_limit_is_not_credited() -> None:
    # the coarsest lies on the extrapolated value, by chance; the next finer ones are .18 and .01 away
    converging, oscillating = [1.0, 1.04, 1.16, 0.987], [1.0, 1.01, 0.99, 1.0]
    for values in (converging, oscillating):
        found = convergence([1, 2, 4, 8], values, 2.0)
        assert found.error_at(3) == found.error_at(2) > found.error_at(0)


def test_an_order_above_the_design_is_not_credited() -> None:
    found = convergence([1, 2, 4], [1.0, 1.01, 1.33], 2.0)
    assert found.order == pytest.approx(5.0)
    assert found.error_at(0) == pytest.approx(3 * 0.01 / 3)  # design's order, factor of doubt
    just = convergence([1, 2, 4], [1.0, 1.01, 1.0524], 2.0)  # 2.08, within two meshes' band
    assert just.error_at(0) == pytest.approx(1.25 * 0.01 / 3)


def test_ratios_of_sizes_count() -> None:
    assert observed(1.5, 1.5, 1.5**1.7) == pytest.approx(1.7)
    assert math.isnan(observed(2.0, 2.0, 0.9))


def test_two_of_one_size_are_refused() -> None:
    with pytest.raises(ValueError, match="three different sizes"):
        convergence([1, 1, 2], [1, 2, 3], 2.0)


# -- the sweep ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("production") / "sweep")


def test_every_study_is_found(folder: Path) -> None:
    production = read_production(folder)
    assert production.missing == ()
    sizes = {part.kind.name: len(part.members) for part in production.parts}
    assert sizes == {
        "mesh": 5,
        "steps": 3,
        "window": 2,
        "network": 4,
        "bending": 3,
        "slack": 3,
        "share": 3,
        "radius": 2,
    }
    assert "wall_time_s" not in production.quantities
    assert "resorbed_mL" not in production.quantities  # zero says nothing
    mesh = production.part("mesh")
    assert mesh is not None
    assert [member.label for member in mesh.members] == ["1.6 mm", "2 mm", "fine", "default", "draft"]
    assert mesh.members[mesh.reference].label == "default"


def test_known_orders_limits_and_bands(folder: Path) -> None:
    production = read_production(folder)
    mesh, steps, network = (production.part(name) for name in ("mesh", "steps", "network"))
    assert mesh is not None and steps is not None and network is not None
    displaced = mesh.convergence(DISPLACED)
    assert displaced is not None
    assert displaced.order == pytest.approx(2.0, rel=1e-8)
    assert displaced.extrapolated == pytest.approx(12.0 * 1.02, rel=1e-8)
    # at the reference: 1.25 times the true error over the value
    value = 1 - 0.4 * h(8_000) ** 2
    assert displaced.index_at(mesh.reference) == pytest.approx(1.25 * (1 - value) / value, rel=1e-8)
    static, sac = mesh.convergence(STATIC), mesh.convergence(SAC)
    assert static is not None and sac is not None
    assert static.order == pytest.approx(1.0, rel=1e-8)
    assert math.isnan(sac.order)
    in_time = steps.convergence(STATIC)
    assert in_time is not None
    assert in_time.order == pytest.approx(1.0, rel=1e-8)
    assert in_time.extrapolated == pytest.approx(8.0 * (1 + 0.3 * h(8_000)), rel=1e-8)
    assert [member.label for member in network.members] == ["10 Pa", "30 Pa", "100 Pa", "300 Pa"]
    assert network.at_zero(CORD) == pytest.approx(0.9)


def test_command_writes_tables_figure_and_stated_errors(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["verify", "production", "--sweep", str(folder), "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "pass: window" in said
    assert "0.6 to 0.9 mm for a network of no stiffness to 300 Pa" in said
    with (out / "production.csv").open(encoding="utf-8") as stream:
        rows = {(row["study"], row["quantity"]): row for row in csv.DictReader(stream)}
    assert float(rows["mesh", DISPLACED]["order"]) == pytest.approx(2.0, rel=1e-8)
    assert rows["mesh", SAC]["order"] == ""
    assert float(rows["window", DISPLACED]["error_percent"]) == pytest.approx(1.0)
    assert "default = " in rows["mesh", DISPLACED]["values"]
    page = (out / "production.md").read_text(encoding="utf-8")
    assert page.count("### ") == 8
    assert f"| `{DISPLACED}` |" in page
    widths = {len(line.split("|")) for line in page.split("### Mesh")[1].split("###")[0].splitlines() if line}
    assert len(widths - {1}) == 1  # every row has the columns of its heading
    assert (out / "production.png").stat().st_size > 30_000  # an empty canvas is a tenth of this
    with (out / "mesh_error.csv").open(encoding="utf-8") as stream:
        errors = {row["size"]: row["error"] for row in csv.DictReader(stream)}
    # 1.25 times 0.4 h^2/(1 - 0.4 h^2), h = 1/2
    assert "; displaced CSF 14 %; static epidural rise " in errors["default"]
    assert "; displaced CSF 3.3 %;" in errors["1.6 mm"]  # the same with h of 60 000 cells
    assert "; displaced CSF 2.5 %;" in errors[DEFAULT_STEPS]  # 1.25 times 2/102
    with (out / "spinal_share.csv").open(encoding="utf-8") as stream:
        ratios = {row["quantity"]: row for row in csv.DictReader(stream)}
    rise = ratios["csf_pressure_rise_mmHg"]  # ten times the share, which is a half as measured
    assert float(rise["ratio_0.32"]) == pytest.approx(0.64)
    assert float(rise["ratio_0.69"]) == pytest.approx(1.38)
    assert rise["model_version"] == "7"
    with (out / "network_band.csv").open(encoding="utf-8") as stream:
        band = {row["quantity"]: row for row in csv.DictReader(stream)}
    cord = band[CORD]  # 0.9 less a thousandth per pascal: 0.89, 0.87, 0.8 (the reference), 0.6
    assert float(cord["ratio_low"]) == pytest.approx(0.6 / 0.8)
    assert float(cord["ratio_high"]) == pytest.approx(0.89 / 0.8)
    assert (cord["softest"], cord["reference"], cord["stiffest"]) == ("10 Pa", "100 Pa", "300 Pa")
    assert cord["model_version"] == "7"
    assert float(band[DISPLACED]["ratio_low"]) == float(band[DISPLACED]["ratio_high"]) == 1.0


def test_an_error_of_another_model_says_so() -> None:
    assert of_version(fem.MODEL_VERSION) == ""
    assert "model version 0" in of_version("0")


def test_table_of_errors_has_what_reports_look_up(folder: Path) -> None:
    from studies.provenance import mesh_errors

    assert {"draft", "default", "fine", DEFAULT_STEPS} <= set(mesh_errors())
    assert {"draft", "default", "fine", DEFAULT_STEPS} <= {size for size, *_ in stated_errors(read_production(folder))}


def test_without_the_study_of_the_network_there_is_no_band(tmp_path: Path) -> None:
    assert network_band(read_production(made(tmp_path / "sweep", leave_out="Pa"))) == []


def test_the_committed_band_is_that_of_the_committed_study() -> None:
    root = Path(__file__).parents[2]
    with (root / "results" / "production" / "production.csv").open(encoding="utf-8") as stream:
        values = {row["quantity"]: row["values"] for row in csv.DictReader(stream) if row["study"] == "network"}
    with (root / "studies" / "data" / "network_band.csv").open(encoding="utf-8") as stream:
        band = {row["quantity"]: row for row in csv.DictReader(stream)}
    assert set(band) == set(HEADLINES)
    for name, row in band.items():
        found = {setting: float(value) for setting, value in (pair.split(" = ") for pair in values[name].split("; "))}
        base = found[row["reference"]]
        assert float(row["ratio_low"]) == pytest.approx(min(found.values()) / base), name
        assert float(row["ratio_high"]) == pytest.approx(max(found.values()) / base), name


def test_a_window_that_matters_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep = made(tmp_path / "sweep", window_change=0.05)
    assert main(["verify", "production", "--sweep", str(sweep), "--out", str(tmp_path / "out")]) == 3
    assert "FAIL: window T8-S2: csf_displaced_peak_mL changes by 5 %" in capsys.readouterr().out


def test_what_is_missing_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep = made(tmp_path / "sweep", leave_out="T8")
    assert main(["verify", "production", "--sweep", str(sweep), "--out", str(tmp_path / "out")]) == 3
    said = capsys.readouterr().err
    assert "T8_S2" in said and "waiting" in said
    assert "Window: 1 different cases" in said
    assert "missing" in (tmp_path / "out" / "production.md").read_text(encoding="utf-8")


def test_no_sweep_and_no_reference_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "production", "--sweep", str(tmp_path / "none"), "--out", str(tmp_path / "out")]) == 2
    assert "no such folder" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match="the reference"):
        read_production(made(tmp_path / "sweep", leave_out="0001"))


def test_headlines_are_names_of_the_contract() -> None:
    from fem.quantities import QUANTITIES

    assert set(HEADLINES) <= set(QUANTITIES)
