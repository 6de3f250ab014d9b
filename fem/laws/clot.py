"""What becomes of an injected fluid: gelation, retraction, lysis, each exact over a step whatever its length."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fem.arrays import Array


@dataclass(frozen=True)
class ClotLaw:
    """A fluid that gels at an age, retracts, and is lysed.

    The share that has gelled at an age is logistic. A clot gives off serum until ``retraction_share`` of it is gone,
    and is lysed at a constant rate except for the film that adheres to the tissue.

    Attributes:
        gelation_time: age at which half has gelled [s].
        gelation_width: scale of the logistic [s].
        retraction_share: share of a clot that becomes serum [1].
        retraction_time: time constant of retraction [s].
        lysis_time: time constant of lysis [s].
        mobility: hydraulic mobility of the clot [m^2/(Pa s)].
        holding_pressure: pressure that the clot holds across a hole [Pa].
    """

    gelation_time: float
    gelation_width: float
    retraction_share: float
    retraction_time: float
    lysis_time: float
    mobility: float
    holding_pressure: float

    def gelled(self, age: Array, step: float) -> Array:
        """Share of fluid of an age [s] that gels within a step [s]; what has gelled before is not part of it."""

        def liquid(at: Array) -> Array:
            # logistic without overflow, relative to newly injected fluid, none of which has gelled
            return np.exp(-np.logaddexp(0.0, (at - self.gelation_time) / self.gelation_width))

        before = np.maximum(liquid(age), np.finfo(float).tiny)
        return 1 - np.minimum(liquid(age + step) / before, 1.0)

    def retracted(self, step: float) -> float:
        """Share of what is still to retract that does so within a step [1]."""
        return float(-np.expm1(-step / self.retraction_time))

    def lysed(self, step: float) -> float:
        """Share of a clot that is lysed within a step [1]."""
        return float(-np.expm1(-step / self.lysis_time))
