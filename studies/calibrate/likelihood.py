"""What a datum says about its prediction: a figure with an error, or only on which side of a limit it lies."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from scipy.special import log_ndtr

ROOT_TWO_PI: Final = math.sqrt(2.0 * math.pi)


class Likelihood(Protocol):
    """Minus the logarithm of a likelihood, convex in the prediction, with its first two derivatives."""

    def cost(self, predicted: float) -> float:
        """Minus the logarithm of the likelihood, but for a constant."""

    def pull(self, predicted: float) -> float:
        """Minus its derivative: positive where a larger prediction is more likely."""

    def weight(self, predicted: float) -> float:
        """Its second derivative, not negative."""


@dataclass(frozen=True)
class Measured:
    """A figure with a normal error.

    Attributes:
        value: the figure.
        error: its standard deviation.
    """

    value: float
    error: float

    def cost(self, predicted: float) -> float:
        """Half the square of the weighted misfit."""
        return 0.5 * ((self.value - predicted) / self.error) ** 2

    def pull(self, predicted: float) -> float:
        """Misfit over the variance."""
        return (self.value - predicted) / self.error**2

    def weight(self, predicted: float) -> float:
        """One over the variance."""
        return self.error**-2.0


@dataclass(frozen=True)
class Beyond:
    """A statement that the true value lies below, or above, a limit that is itself known to a normal error.

    Its probability is Phi(z), z = +-(limit - predicted)/error (a probit): certain far on the right side, one half at
    the limit, and on the wrong side it falls like the tail of a normal distribution.

    Attributes:
        limit: the limit.
        error: standard deviation with which limit and prediction can be told apart.
        side: where the value lies.
    """

    limit: float
    error: float
    side: Literal["below", "above"]

    @property
    def _sign(self) -> float:
        return 1.0 if self.side == "below" else -1.0

    def _z(self, predicted: float) -> float:
        return self._sign * (self.limit - predicted) / self.error

    def _mills(self, z: float) -> float:
        """Density over probability, phi(z)/Phi(z)."""
        return math.exp(-0.5 * z * z - float(log_ndtr(z))) / ROOT_TWO_PI

    def cost(self, predicted: float) -> float:
        """Minus the logarithm of the statement's probability."""
        return -float(log_ndtr(self._z(predicted)))

    def pull(self, predicted: float) -> float:
        """Towards the side that is stated; nothing where the prediction lies far on it."""
        return -self._sign * self._mills(self._z(predicted)) / self.error

    def weight(self, predicted: float) -> float:
        """As that of a figure on the wrong side; nothing far on the right one."""
        z = self._z(predicted)
        mills = self._mills(z)
        return mills * (z + mills) / self.error**2
