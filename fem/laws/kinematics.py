"""Kinematics: finite strain and its small-strain limit behind one set of names, so that both share every form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import ufl


class Kinematics(Protocol):
    """What the weak form needs of a displacement field u(X)."""

    @property
    def linear(self) -> bool:
        """Whether strains are infinitesimal."""

    def gradient(self, u: Any) -> Any:
        """Deformation gradient F = I + Grad u."""

    def volume_ratio(self, u: Any) -> Any:
        """J, current over reference volume."""

    def cofactor(self, u: Any) -> Any:
        """J F^-T, which turns reference into current oriented area."""

    def pulled_back_mobility(self, u: Any) -> Any:
        """J F^-1 F^-T, the geometric part of a mobility pulled back to the reference."""


@dataclass(frozen=True)
class FiniteStrain:
    """Total Lagrangian finite strain."""

    linear = False

    def gradient(self, u: Any) -> Any:
        return ufl.Identity(len(u)) + ufl.grad(u)

    def volume_ratio(self, u: Any) -> Any:
        return ufl.det(self.gradient(u))

    def cofactor(self, u: Any) -> Any:
        return ufl.cofac(self.gradient(u))

    def pulled_back_mobility(self, u: Any) -> Any:
        inverse = ufl.inv(self.gradient(u))
        return self.volume_ratio(u) * inverse * inverse.T


@dataclass(frozen=True)
class SmallStrain:
    """Infinitesimal strain: J - 1 is the divergence, everything else stays in the reference."""

    linear = True

    def gradient(self, u: Any) -> Any:
        return ufl.Identity(len(u)) + ufl.grad(u)

    def volume_ratio(self, u: Any) -> Any:
        return 1 + ufl.div(u)

    def cofactor(self, u: Any) -> Any:
        return ufl.Identity(len(u))

    def pulled_back_mobility(self, u: Any) -> Any:
        return ufl.Identity(len(u))
