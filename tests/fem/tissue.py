"""Tissue and patients that several tests of the patch share."""

from __future__ import annotations

from fem.parameters import MMHG, Csf
from fem.regulation import Regulation, pressure_of_leak

ML = 1e-6
RESISTANCE, FORMATION, SET_POINT = 8.6 * MMHG / ML * 60, 0.3 * ML / 60, 8.6 * MMHG
PVI = 25.9 * ML

SPREADING = {
    "fat.mobility": 3e-7,
    "fat.youngs_modulus": 1000.0,
    "veins.slope": 5e-5,
    "foramina.conductance": 2.5e-13,
}
"""Tissue whose fat lets 2 mL reach and cover a leak nearby, whatever the calibration says; SI units."""


def leaking_csf(conductance: float) -> Csf:
    """CSF of a healthy patient who has got a leak of a conductance [m^3/(Pa s)]: the pressure that it leaves."""
    rest = pressure_of_leak(Regulation(SET_POINT, RESISTANCE, FORMATION), conductance)
    return Csf(rest.pressure, PVI, 0.0, RESISTANCE, FORMATION, set_point=SET_POINT, epidural_pressure=rest.epidural)
