"""The epidural canal beyond a cut of the window, as a chain of cells that store, leak and pass fluid on.

::

    window | k0   [p_1]  k1  [p_2]  k2   ...  [p_n] |  end of the canal, closed
       q -->  ------+-----------+----------------+
                  g |  c_f     g|              g |     foramina;   c_f: fat swells against the sac of pressure P

Small changes from the baseline, by length of canal: veins hold c_v p, fat holds c_f (p - P) and pushes as much CSF out
of the sac, foramina let out g p. Backward Euler over a step makes the chain a two-port, affine in the pressure p at the
cut and in the change x of P: it takes up a p - b - d x through the cut, and pushes d p - f x + w of CSF out of the sac.
Far from the window pressures are a few mmHg, where the laws that it is linearised from are straight. Foramina here
have no opening pressure, whatever those of the window have.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from scipy.linalg import solveh_banded

from fem.arrays import Array

FIRST_CELL = 4e-3
"""Length of the cell beside the cut [m]: in the first step of an injection (1 s) pressure diffuses 6.4 mm, the square
root of 4 D t with a mobility of 1.84e-8 m^2/(Pa s) and a Young's modulus of 500 Pa (confined 556 Pa)."""

GROWTH = 1.3
"""Ratio of the lengths of neighbouring cells [1]."""


@dataclass(frozen=True)
class Channel:
    """What the canal beyond a cut is made of.

    Attributes:
        length: of the canal [m].
        sac_length: of the sac in it, from the cut on [m].
        conduction: mobility times area [m^4/(Pa s)].
        veins: storage by length and pressure, c_v [m^2/Pa].
        fat: storage by length and pressure above that of the sac, c_f [m^2/Pa], where there is a sac.
        foramina: outflow by length and pressure, g [m^2/(Pa s)].
    """

    length: float
    sac_length: float
    conduction: float
    veins: float
    fat: float
    foramina: float

    def part(self, count: int) -> Channel:
        """One of equal parts side by side."""
        return replace(
            self,
            conduction=self.conduction / count,
            veins=self.veins / count,
            fat=self.fat / count,
            foramina=self.foramina / count,
        )


@dataclass(frozen=True)
class TwoPort:
    """What a chain does in a step of some length; see the module.

    Attributes:
        conductance: a [m^3/(Pa s)].
        source: b [m^3/s].
        coupling: d [m^3/(Pa s)].
        uptake: f [m^3/(Pa s)].
        release: w [m^3/s].
    """

    conductance: float
    source: float
    coupling: float
    uptake: float
    release: float


@dataclass
class Chain:
    """A channel in time.

    Attributes:
        exchange: name of the model's exchange at the cut.
        compartment: that the CSF of the sac beyond the cut is pushed into.
        pressure: of each cell above the baseline at the beginning of a step [Pa].
        outside: pressure of the compartment there [Pa].
    """

    exchange: str
    compartment: str
    channel: Channel
    outside: float = 0.0
    pressure: Array = field(init=False)

    def __post_init__(self) -> None:
        channel = self.channel
        count = int(np.ceil(np.log1p(channel.length * (GROWTH - 1) / FIRST_CELL) / np.log(GROWTH)))
        lengths = GROWTH ** np.arange(count)
        self._length: Array = lengths * channel.length / lengths.sum()
        ends = np.cumsum(self._length)
        with_sac = np.clip(channel.sac_length - (ends - self._length), 0.0, self._length)
        self._fat: Array = channel.fat * with_sac
        self._storage: Array = channel.veins * self._length + self._fat
        self._conductance: Array = channel.conduction / np.diff(np.concatenate([[0.0], ends - self._length / 2]))
        self.rest(0.0)

    def rest(self, outside: float) -> None:
        """Be at the baseline, with the compartment at a pressure [Pa]."""
        self.pressure, self.outside = np.zeros(len(self._length)), outside

    @property
    def state(self) -> tuple[Array, float]:
        """Pressures of cells and compartment; a step makes new ones, so that this is a checkpoint."""
        return self.pressure, self.outside

    def restore(self, state: tuple[Array, float]) -> None:
        """Go back to a checkpoint."""
        self.pressure, self.outside = state

    def _solve(self, step: float, right: Array) -> Array:
        """Pressures of the cells for stored volumes and inflow [m^3], shape (cells,) or (cells, k)."""
        k = step * self._conductance
        diagonal = self._storage + step * self.channel.foramina * self._length + k
        diagonal[:-1] += k[1:]
        return np.asarray(solveh_banded(np.vstack([np.concatenate([[0.0], -k[1:]]), diagonal]), right))

    def port(self, step: float) -> TwoPort:
        """What the chain does in a step of that length [s] from its present state."""
        first = np.zeros(len(self._length))
        first[0] = k0 = self._conductance[0]
        entering, squeezed, kept = self._solve(
            step, np.column_stack([step * first, self._fat, self._storage * self.pressure])
        ).T
        return TwoPort(
            conductance=float(k0 * (1 - entering[0])),
            source=float(k0 * kept[0]),
            coupling=float(k0 * squeezed[0]),
            uptake=float(self._fat @ (1 - squeezed)) / step,
            release=float(self._fat @ (kept - self.pressure)) / step,
        )

    def advance(self, step: float, cut: float, outside: float) -> None:
        """Take a step.

        Args:
            step: its length [s].
            cut: mean pressure at the cut above the baseline at its end [Pa].
            outside: pressure of the compartment at its end [Pa].
        """
        right = self._storage * self.pressure + self._fat * (outside - self.outside)
        right[0] += step * self._conductance[0] * cut
        self.pressure, self.outside = self._solve(step, right), outside
