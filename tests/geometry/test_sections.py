"""Cross-sections against the table they are made from."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

import geometry
from geometry import Anatomy
from geometry.sections import analytic_angles

T = analytic_angles()
EVERY_LEVEL = Anatomy.from_table().levels
RELATIVE_AREA = 0.01


def _extent(outline: np.ndarray) -> tuple[float, float]:
    return float(np.ptp(outline[:, 0])), float(np.ptp(outline[:, 1]))


@pytest.mark.parametrize("level", EVERY_LEVEL)
def test_pedicle_plane_has_the_tabulated_canal(anatomy: Anatomy, level: str) -> None:
    """Diameters, and the true area of the trefoil levels: the recess must not reach the pedicle plane."""
    z = np.array([anatomy.level_z(level)])
    wide, deep = _extent(anatomy.sections.wall(z, T)[0])
    assert wide == pytest.approx(anatomy.value(level, "canal_trans"), rel=2e-3)
    assert deep == pytest.approx(anatomy.value(level, "canal_ap"), rel=2e-3)
    area = anatomy.value(level, "canal_area")
    if np.isnan(area):
        area = 0.25 * np.pi * anatomy.value(level, "canal_trans") * anatomy.value(level, "canal_ap")
    assert anatomy.sections.canal_area(z)[0] == pytest.approx(area, rel=RELATIVE_AREA)


@pytest.mark.parametrize("level", [level for level in EVERY_LEVEL if level != "S2"])
def test_sac_and_cord_have_the_tabulated_diameters(anatomy: Anatomy, level: str) -> None:
    z = np.array([anatomy.level_z(level)])
    wide, deep = _extent(anatomy.sections.sac(z, T)[0])
    assert (wide, deep) == pytest.approx((anatomy.value(level, "sac_trans"), anatomy.value(level, "sac_ap")), rel=1e-3)
    if np.isfinite(anatomy.value(level, "cord_ap")):
        wide, deep = _extent(anatomy.sections.cord(z, T)[0])
        assert wide == pytest.approx(anatomy.value(level, "cord_trans"), rel=1e-3)
        assert deep == pytest.approx(anatomy.value(level, "cord_ap"), rel=1e-3)


def test_an_ellipse_would_be_too_large_at_the_trefoil_levels(anatomy: Anatomy) -> None:
    for level in ("L2", "L3", "L4", "L5"):
        ellipse = 0.25 * np.pi * anatomy.value(level, "canal_trans") * anatomy.value(level, "canal_ap")
        area = anatomy.sections.canal_area(np.array([anatomy.level_z(level)]))[0]
        assert 1.13 < ellipse / area < 1.25


def test_the_gap_is_never_below_its_floor(anatomy: Anatomy) -> None:
    z = np.linspace(0.0, anatomy.length, 1500)
    assert anatomy.sections.gap(z, T).min() >= 0.999 * anatomy.shape.gap_floor


def test_the_recess_is_a_saw_tooth(anatomy: Anatomy) -> None:
    """Full depth at the interspace, nothing at the pedicles, none in the sacrum."""
    dorsal = np.array([-0.5 * np.pi])
    for name in anatomy.interspaces:
        z = np.array([anatomy.interspace_z(name), *(anatomy.level_z(level) for level in name.split("/"))])
        depth = anatomy.sections.recess(z, dorsal)[:, 0]
        assert depth == pytest.approx([anatomy.value(name, "recess_depth"), 0.0, 0.0])
    assert anatomy.value("S1/S2", "recess_depth") == 0.0
    lumbar = [anatomy.value(name, "recess_depth") for name in ("L1/L2", "L2/L3", "L3/L4", "L4/L5")]
    assert min(lumbar) >= 4e-3
    assert max(lumbar) <= 7e-3


@pytest.mark.parametrize(("level", "dorsal"), [("T2", 3.9e-3), ("T5", 5.8e-3), ("T10", 4.1e-3)])
def test_dorsal_csf_is_as_measured(anatomy: Anatomy, level: str, dorsal: float) -> None:
    """Imbelloni 2010, doi:10.1213/ANE.0b013e3181d5aca6."""
    z, behind = np.array([anatomy.level_z(level)]), np.array([-0.5 * np.pi])
    gap = anatomy.sections.cord(z, behind)[0, 0, 1] - anatomy.sections.sac(z, behind)[0, 0, 1]
    assert gap == pytest.approx(dorsal, rel=1e-6)


def test_the_cord_is_centred_where_nothing_is_known(anatomy: Anatomy) -> None:
    z = np.array([anatomy.level_z(level) for level in ("C2", "C5", "C7", "T12", "L1")])
    assert anatomy.sections.cord_shift(z) == pytest.approx(np.zeros(5), abs=1e-9)


def test_the_cord_ends_at_the_conus_and_the_sac_at_mid_s2(anatomy: Anatomy) -> None:
    conus, end = anatomy.interspace_z("L1/L2"), anatomy.level_z("S2")
    z = np.array([conus + 1e-4, conus - 1e-4])
    assert (anatomy.sections.cord_area(z) > 0.0).tolist() == [True, False]
    z = np.array([end + 1e-4, end - 1e-4])
    assert (anatomy.sections.sac_area(z) > 0.0).tolist() == [True, False]


def test_lumbosacral_csf_volume_is_within_the_published_range(anatomy: Anatomy) -> None:
    """CSF and roots below T11/T12 by MRI: Hogan 1996, Anesthesiology 84:1341."""
    table = Path(geometry.__file__).parent / "data" / "published_volumes.csv"
    with table.open(newline="", encoding="utf-8") as stream:
        row = next(csv.DictReader(stream))
    z = np.linspace(0.0, anatomy.interspace_z("T11/T12"), 4000)
    volume = 1e6 * np.trapezoid(anatomy.sections.sac_area(z) - anatomy.sections.cord_area(z), z)
    assert float(row["low_mL"]) < volume < float(row["high_mL"])
    assert volume == pytest.approx(float(row["mean_mL"]), rel=0.2)
