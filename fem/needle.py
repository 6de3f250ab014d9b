"""Pressure drop in a needle, from gauge, rate and rheology.

Hagen-Poiseuille flow generalised to any viscosity (Weissenberg-Rabinowitsch-Mooney): with the shear stress linear in
the radius, tau = tau_w r/R, the flow is Q = (pi R^3/tau_w^3) times the integral of tau^2 times the shear rate from 0 to
tau_w, and the drop is 2 L tau_w/R. Source: Bird, Armstrong & Hassager 1987, Dynamics of Polymeric Liquids 1, sec. 4.2.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from scipy.optimize import brentq

from fem.errors import ModelError
from fem.laws.rheology import Rheology

TABLE = Path(__file__).parent / "data" / "needles.csv"

HIGHEST_DROP = 500e3
"""Drop beyond what a hand presses through a syringe [Pa]; 10 kg on the plunger of 10 mL (15 mm wide) is 550 kPa."""

POINTS = 400
"""Points of the integral over the shear rate."""

WIDENING = 2.0
"""Factor by which the shear rates at the wall between which the flow is sought are widened [1]; a power-law fluid has
(3 n + 1)/(4 n) times a Newtonian one's, at most 1.5 for blood."""

WIDENINGS = 60
"""Times that they are at most: a factor of 1e18, which no fluid whose stress grows with its shear rate takes."""


@dataclass(frozen=True)
class Needle:
    """A needle of the gauge table.

    Attributes:
        gauge: Stubs iron wire gauge.
        inner, outer: diameters [m].
        length: [m].
    """

    gauge: int
    inner: float
    outer: float
    length: float


@cache
def needle_table() -> Mapping[int, Needle]:
    """Needles by gauge."""
    with TABLE.open(newline="", encoding="utf-8") as stream:
        return {
            int(row["gauge"]): Needle(
                int(row["gauge"]),
                float(row["inner_mm"]) * 1e-3,
                float(row["outer_mm"]) * 1e-3,
                float(row["length_mm"]) * 1e-3,
            )
            for row in csv.DictReader(stream)
        }


def pressure_drop(needle: Needle, rheology: Rheology, rate: float) -> float:
    """Drop along a needle [Pa] at a rate [m^3/s], laminar and fully developed.

    Raises:
        ModelError: no shear rate gives that flow: the stress falls where the shear rate grows.
    """
    if rate <= 0:
        return 0.0
    radius = needle.inner / 2
    share = np.geomspace(1e-4, 1.0, POINTS)

    def flow(wall: float) -> float:
        with np.errstate(over="ignore", invalid="ignore"):  # a fluid that thickens without bound: no flow is found
            stress = rheology.viscosity(wall * share) * share
            # by parts: the integral of s tau^2 d tau is (tau^3 s - integral of tau^3 ds)/3
            return float(np.pi * radius**3 * wall * (1 - np.trapezoid((stress / stress[-1]) ** 3, share)) / 3)

    newtonian = 4 * rate / (np.pi * radius**3)
    widths = WIDENING ** np.arange(1, WIDENINGS + 1)
    width = next((w for w in widths if flow(newtonian / w) < rate < flow(newtonian * w)), None)
    if width is None:
        raise ModelError(f"no shear rate at the wall gives a flow of {rate * 6e7:.3g} mL/min through the needle")
    bracket = np.log(newtonian / width), np.log(newtonian * width)
    wall = float(np.exp(brentq(lambda x: flow(float(np.exp(x))) - rate, *bracket, xtol=1e-10)))
    stress = float(rheology.viscosity(np.array([wall]))[0]) * wall
    return 2 * needle.length * stress / radius
