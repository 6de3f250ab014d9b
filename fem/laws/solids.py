"""Drained skeletons. A law gives the first Piola-Kirchhoff stress for an elastic deformation gradient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import ufl


class Solid(Protocol):
    """A hyperelastic drained skeleton."""

    def stress(self, gradient: Any) -> Any:
        """First Piola-Kirchhoff stress [Pa] for the deformation gradient from the stress-free state."""


@dataclass(frozen=True)
class NeoHookean:
    """Compressible neo-Hookean skeleton, W = mu/2 (I1 - 3 - 2 ln J) + lambda/4 (J^2 - 1 - 2 ln J).

    Polyconvex: with (ln J)^2 in the place of the last bracket, a skeleton that swells softens from J of about 4 on, and
    fat under a patch is torn apart at 2 mmHg of suction. Turned inside out (J <= 0) it has no energy, and no stress
    either: without that Newton's method steps over the barrier, and the dura through the cord. In plane problems F is
    2x2 and the strain out of plane is zero; the same expression holds.
    Source of the volumetric part: Simo & Taylor 1982 Comput Methods Appl Mech Eng 33:845.

    Attributes:
        youngs_modulus: drained Young modulus at small strain [Pa].
        poisson_ratio: drained Poisson ratio.
    """

    youngs_modulus: Any
    poisson_ratio: Any

    def stress(self, gradient: Any) -> Any:
        mu, lmbda = lame(self.youngs_modulus, self.poisson_ratio)
        inverse = ufl.inv(gradient).T
        root = ufl.sqrt(ufl.det(gradient))  # not a number inside out, as the energy, so that no iterate gets there
        volume = root * root
        return mu * (gradient - inverse) + lmbda / 2 * (volume * volume - 1) * inverse


@dataclass(frozen=True)
class LinearElastic:
    """Hooke's law in the infinitesimal strain, for the linear mode.

    Attributes:
        youngs_modulus: drained Young modulus [Pa].
        poisson_ratio: drained Poisson ratio.
    """

    youngs_modulus: Any
    poisson_ratio: Any

    def stress(self, gradient: Any) -> Any:
        mu, lmbda = lame(self.youngs_modulus, self.poisson_ratio)
        identity = ufl.Identity(gradient.ufl_shape[0])
        strain = ufl.sym(gradient) - identity
        return 2 * mu * strain + lmbda * ufl.tr(strain) * identity


def lame(youngs_modulus: Any, poisson_ratio: Any) -> tuple[Any, Any]:
    """Return (mu, lambda) [Pa] of an isotropic solid."""
    mu = youngs_modulus / (2 * (1 + poisson_ratio))
    lmbda = youngs_modulus * poisson_ratio / ((1 + poisson_ratio) * (1 - 2 * poisson_ratio))
    return mu, lmbda
