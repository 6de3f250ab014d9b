"""Constants of an isotropic linear poroelastic solid (Detournay & Cheng 1993, Comprehensive Rock Eng 2:113)."""

from __future__ import annotations

from dataclasses import dataclass

from fem.laws.mobility import ConstantMobility
from fem.laws.solids import LinearElastic
from fem.laws.storage import LinearStorage
from fem.setup import Region


@dataclass(frozen=True)
class Biot:
    """Drained skeleton and pore fluid.

    Attributes:
        youngs_modulus: drained [Pa].
        poisson_ratio: drained.
        biot: Biot coefficient alpha.
        inverse_modulus: 1/M [1/Pa]; 0 for incompressible constituents.
        diffusivity: c [m^2/s].
    """

    youngs_modulus: float
    poisson_ratio: float
    biot: float
    inverse_modulus: float
    diffusivity: float = 1.0

    @property
    def shear(self) -> float:
        """Shear modulus [Pa]."""
        return self.youngs_modulus / (2 * (1 + self.poisson_ratio))

    @property
    def bulk(self) -> float:
        """Drained bulk modulus K [Pa]."""
        return self.youngs_modulus / (3 * (1 - 2 * self.poisson_ratio))

    @property
    def vertical(self) -> float:
        """Uniaxial modulus K_v [Pa]."""
        return self.bulk + 4 * self.shear / 3

    @property
    def storage(self) -> float:
        """S = 1/M + alpha^2/K_v [1/Pa]."""
        return self.inverse_modulus + self.biot**2 / self.vertical

    @property
    def mobility(self) -> float:
        """Mobility kappa = c S [m^2/(Pa s)]."""
        return self.diffusivity * self.storage

    @property
    def skempton(self) -> float:
        """B = alpha M/K_u = alpha/(K/M + alpha^2)."""
        return self.biot / (self.bulk * self.inverse_modulus + self.biot**2)

    @property
    def undrained_poisson(self) -> float:
        """nu_u, from K_u = K + alpha^2 M; 1/2 for incompressible constituents."""
        ratio = self.biot * self.skempton * (1 - 2 * self.poisson_ratio)
        return (3 * self.poisson_ratio + ratio) / (3 - ratio)

    def region(self, tag: int = 1, pressure: str = "p") -> Region:
        """The same as a region of the production model."""
        return Region(
            tag,
            pressure,
            LinearElastic(self.youngs_modulus, self.poisson_ratio),
            ConstantMobility(self.mobility),
            LinearStorage(self.inverse_modulus),
            self.biot,
        )


COMPRESSIBLE = Biot(1.0, 0.25, 0.9, 1 / 5)
INCOMPRESSIBLE = Biot(1.0, 0.3, 1.0, 0.0)
