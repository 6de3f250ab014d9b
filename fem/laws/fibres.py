"""Tension-only structures: membranes without thickness on a surface, and fibres smeared over a volume.

A dura that also carries compression is wrong by more than ten times: the sac loses area by flattening and folding. Each
fibre family is stiff in tension behind a C1 toe and keeps a small constant tension when slack, which keeps the surface
well posed in its own plane.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import ufl

from fem.laws.smooth import ramp


class Membrane(Protocol):
    """A surface law: virtual work per reference area."""

    def virtual_work(self, surface: Surface) -> Any:
        """Virtual work per reference area [N/m], linear in the virtual displacement of the surface."""


@dataclass(frozen=True)
class Surface:
    """Kinematics of a material surface inside a body.

    Attributes:
        gradient: deformation gradient F on the surface.
        virtual: gradient of the virtual displacement, Grad v.
        normal: unit normal in the reference.
        axis: unit vector along which the longitudinal fibres run, before projection on the surface.
        linear: whether strains are infinitesimal.
        tension: (longitudinal, circumferential) tension in the reference [N/m]; None where the reference is
            stress-free.
        tie: unit vector that picks a direction where the axis is normal to the surface; anterior by default.
    """

    gradient: Any
    virtual: Any
    normal: Any
    axis: Any
    linear: bool = False
    tension: Any = None
    tie: Any = None

    def tangents(self) -> tuple[Any, Any]:
        """Unit tangents (longitudinal, circumferential) in the reference; any pair where the axis is normal.

        On an end cap the projection of the axis vanishes; the small vector added to the axis picks a direction there
        and changes a lateral surface by less than 1e-3 rad. It lies in the midsagittal plane: mirror images stay so.
        """
        tie = ufl.as_vector((0.0, 1.0, 0.0)) if self.tie is None else self.tie
        raw = self.axis + TIE_BREAK * tie
        along = raw - ufl.inner(raw, self.normal) * self.normal
        along = along / ufl.sqrt(ufl.inner(along, along))
        return along, ufl.cross(self.normal, along)

    def green_strain(self, tangent: Any) -> Any:
        """Green strain of a fibre from its length in the reference."""
        if self.linear:
            return ufl.inner(tangent, ufl.dot(self.gradient, tangent)) - 1
        now = ufl.dot(self.gradient, tangent)
        return (ufl.inner(now, now) - 1) / 2

    def virtual_strain(self, tangent: Any) -> Any:
        """Variation of the Green strain of a fibre."""
        if self.linear:
            return ufl.inner(tangent, ufl.dot(self.virtual, tangent))
        return ufl.inner(ufl.dot(self.gradient, tangent), ufl.dot(self.virtual, tangent))


TIE_BREAK = 1e-3
"""Anteroposterior part added to the axis so that fibre directions exist on end caps [1]."""


@dataclass(frozen=True)
class TensionOnlyMembrane:
    """Longitudinal and circumferential fibres that never carry compression.

    The tension of a fibre is T + E t ramp(e, toe) of its Green strain e. Without the slack tension T a sheet of slack
    fibres would have no stiffness in its own plane; out of it a sheet may have a bending stiffness (fem/bending.py).

    Attributes:
        longitudinal_modulus: of the fibres along the axis [Pa].
        circumferential_modulus: of the fibres around it [Pa].
        thickness: in the reference [m].
        toe_strain: strain over which the fibres are recruited [1].
        slack_tension: in both directions at and below zero strain [N/m].
    """

    longitudinal_modulus: Any
    circumferential_modulus: Any
    thickness: Any
    toe_strain: Any
    slack_tension: Any

    def virtual_work(self, surface: Surface) -> Any:
        along, around = surface.tangents()
        work = 0
        tensions = surface.tension if surface.tension is not None else (None, None)
        for modulus, tangent, tension in (
            (self.longitudinal_modulus, along, tensions[0]),
            (self.circumferential_modulus, around, tensions[1]),
        ):
            strain, virtual = surface.green_strain(tangent), surface.virtual_strain(tangent)
            if tension is not None:
                rest = self.strain_at(tension, modulus)
                # Green strains from the slack length: C = C0 stretched by C of the displacement
                # work per length of the reference, so that the tension there is the one given
                strain = rest + (1 + 2 * rest) * strain
            work += (self.slack_tension + self.thickness * modulus * ramp(strain, self.toe_strain)) * virtual
        return work

    def strain_at(self, tension: Any, modulus: Any) -> Any:
        """Green strain at which a fibre family of this modulus carries a tension [N/m]; zero up to the slack one."""
        stress = ufl.max_value((tension - self.slack_tension) / (self.thickness * modulus), 0)
        toe = ufl.sqrt(2 * self.toe_strain * stress)
        return ufl.conditional(ufl.lt(stress, self.toe_strain / 2), toe, stress + self.toe_strain / 2)


@dataclass(frozen=True)
class NeoHookeanMembrane:
    """Incompressible Mooney-Rivlin membrane, W = c1 (I1 - 3) + c2 (I2 - 3), with I3 = 1 setting the thinning.

    Source: Rivlin & Saunders 1951; Holzapfel 2000, Nonlinear Solid Mechanics, sec. 6.5.

    Attributes:
        shear_modulus: 2 c1 [Pa].
        second_modulus: 2 c2 [Pa].
        thickness: in the reference [m].
    """

    shear_modulus: Any
    second_modulus: Any
    thickness: Any

    def virtual_work(self, surface: Surface) -> Any:
        along, around = surface.tangents()
        if surface.linear:
            return self._linear_work(surface, along, around)
        c11, c22, c12 = _metric(surface.gradient, along, around)
        det_c = c11 * c22 - c12 * c12
        trace = c11 + c22
        d11, d22, d12 = _metric_variation(surface, along, around)
        d_trace = d11 + d22
        d_det = d11 * c22 + c11 * d22 - 2 * c12 * d12
        # I1 = tr C + 1/det C, I2 = det C + tr C/det C for an incompressible sheet
        first = d_trace - d_det / det_c**2
        second = d_det + d_trace / det_c - trace * d_det / det_c**2
        return self.thickness * (self.shear_modulus * first + self.second_modulus * second) / 2

    def _linear_work(self, surface: Surface, along: Any, around: Any) -> Any:
        total = self.shear_modulus + self.second_modulus
        strain = surface.gradient
        e11, e22 = surface.green_strain(along), surface.green_strain(around)
        e12 = (ufl.inner(along, ufl.dot(strain, around)) + ufl.inner(around, ufl.dot(strain, along))) / 2
        d11 = ufl.inner(along, ufl.dot(surface.virtual, along))
        d22 = ufl.inner(around, ufl.dot(surface.virtual, around))
        d12 = (
            ufl.inner(along, ufl.dot(surface.virtual, around)) + ufl.inner(around, ufl.dot(surface.virtual, along))
        ) / 2
        trace = e11 + e22
        return 2 * self.thickness * total * ((e11 + trace) * d11 + (e22 + trace) * d22 + 2 * e12 * d12)


@dataclass(frozen=True)
class LinearMembrane:
    """Isotropic membrane, Hooke's law in plane stress on Green strains; carries compression as well.

    For verification.

    Attributes:
        youngs_modulus: [Pa].
        poisson_ratio: [1].
        thickness: [m].
    """

    youngs_modulus: Any
    poisson_ratio: Any
    thickness: Any

    def virtual_work(self, surface: Surface) -> Any:
        along, around = surface.tangents()
        e11, e22 = surface.green_strain(along), surface.green_strain(around)
        d11, d22 = surface.virtual_strain(along), surface.virtual_strain(around)
        if surface.linear:
            strain = surface.gradient
            e12 = (ufl.inner(along, ufl.dot(strain, around)) + ufl.inner(around, ufl.dot(strain, along))) / 2
            d12 = (
                ufl.inner(along, ufl.dot(surface.virtual, around)) + ufl.inner(around, ufl.dot(surface.virtual, along))
            ) / 2
        else:
            e12 = _metric(surface.gradient, along, around)[2] / 2
            d12 = _metric_variation(surface, along, around)[2] / 2
        nu = self.poisson_ratio
        scale = self.youngs_modulus * self.thickness / (1 - nu**2)
        return scale * ((e11 + nu * e22) * d11 + (e22 + nu * e11) * d22 + 2 * (1 - nu) * e12 * d12)


def _metric(gradient: Any, along: Any, around: Any) -> tuple[Any, Any, Any]:
    a, b = ufl.dot(gradient, along), ufl.dot(gradient, around)
    return ufl.inner(a, a), ufl.inner(b, b), ufl.inner(a, b)


def _metric_variation(surface: Surface, along: Any, around: Any) -> tuple[Any, Any, Any]:
    a, b = ufl.dot(surface.gradient, along), ufl.dot(surface.gradient, around)
    da, db = ufl.dot(surface.virtual, along), ufl.dot(surface.virtual, around)
    return 2 * ufl.inner(a, da), 2 * ufl.inner(b, db), ufl.inner(a, db) + ufl.inner(b, da)


@dataclass(frozen=True)
class SmearedFibres:
    """Tension-only fibres smeared over a volume: the second Piola-Kirchhoff stress along them is E ramp(e, toe).

    Attributes:
        modulus: smeared over the section [Pa].
        toe_strain: [1].
    """

    modulus: Any
    toe_strain: Any

    def virtual_work(self, gradient: Any, virtual: Any, direction: Any, linear: bool = False) -> Any:
        """Virtual work per reference volume [Pa] of fibres along the unit vector ``direction``."""
        if linear:
            strain = ufl.inner(direction, ufl.dot(gradient, direction)) - 1
            return self.modulus * strain * ufl.inner(direction, ufl.dot(virtual, direction))
        now = ufl.dot(gradient, direction)
        strain = (ufl.inner(now, now) - 1) / 2
        return self.modulus * ramp(strain, self.toe_strain) * ufl.inner(now, ufl.dot(virtual, direction))
