"""What a simulation needs beside the mesh: frozen dataclasses of SI floats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fem.materials import Materials
from geometry import SOURCE_RADIUS

MMHG = 133.322387415
"""Pascals in a conventional millimetre of mercury (ISO 80000-4)."""


@dataclass(frozen=True)
class Csf:
    """Cerebrospinal fluid: baseline, craniospinal compliance and regulation (SI units).

    Attributes:
        baseline_pressure: CSF pressure of the patient before the patch, supine [Pa].
        pvi: craniospinal pressure-volume index [m^3].
        reference_pressure: pressure at which the craniospinal compliance would be infinite [Pa].
        spinal_share: share of the craniospinal compliance that is spinal; None measures it in the window.
        outflow_resistance: resistance to absorption [Pa s/m^3].
        formation: rate of formation [m^3/s].
        set_point: pressure of the leak-free equilibrium [Pa]; None is the baseline.
        epidural_pressure: before the patch [Pa]; None is the resting one, at most the baseline.
    """

    baseline_pressure: float
    pvi: float
    reference_pressure: float
    outflow_resistance: float
    formation: float
    spinal_share: float | None = None
    set_point: float | None = None
    epidural_pressure: float | None = None


@dataclass(frozen=True)
class Stop:
    """What ends an injection before its volume is in: a quantity of the series reaching a value.

    Attributes:
        quantity: name of the column.
        value: in the column's unit.
        falling: whether it is reached from above.
    """

    quantity: str
    value: float
    falling: bool = False

    def excess(self, row: Mapping[str, float]) -> float:
        """How far a row is beyond the value; negative before."""
        return (self.value - row[self.quantity]) * (1.0 if self.falling else -1.0)


@dataclass(frozen=True)
class Leak:
    """A hole in the dura (SI units).

    Attributes:
        site: ``dorsal``, ``ventral`` or ``sleeve``.
        conductance: of the whole hole [m^3/(Pa s)].
        flap: whether it closes against flow into the sac.
    """

    interspace: str
    site: str
    side: str
    conductance: float
    flap: bool = True


@dataclass(frozen=True)
class Mechanisms:
    """What of a patch acts: displaced CSF raising the CSF pressure, clot closing leaks."""

    pressure: bool = True
    plug: bool = True


@dataclass(frozen=True)
class Injection:
    """One injection: where, what and when (SI units).

    Attributes:
        start: where the injection ``follows``, as planned.
        follows: whether it begins when the one before ends, which a limit may end early.
    """

    interspace: str
    volume: float
    rate: float
    start: float = 0.0
    approach: str = "interlaminar"
    side: str = "midline"
    offset: float = 0.0
    material: str = "blood"
    gauge: int | None = None
    stop: Stop | None = None
    follows: bool = False

    @property
    def place(self) -> tuple[str, str, str, float]:
        """What makes two injections one place: interspace, approach, side, offset."""
        return self.interspace, self.approach, self.side, self.offset

    @property
    def end(self) -> float:
        """Time at which the injection ends [s]."""
        return self.start + self.volume / self.rate


@dataclass(frozen=True)
class TimeControl:
    """Steps in time [s]. The first step after each change of the injection is ``first_step``.

    Without an injection a step is at most ``max_step`` or, where that is more, ``late_step`` [1] of the time since the
    latest one ended: what happens between minutes and days is logarithmic in time.
    """

    follow_up: float = 600.0
    first_step: float = 1.0
    injection_step: float = 5.0
    max_step: float = 10.0
    late_step: float = 0.2
    output_times: tuple[float, ...] = ()


@dataclass(frozen=True)
class SolverControl:
    """Newton's method and the growth of steps.

    Attributes:
        max_iterations: Newton iterations of a step at most.
        volume_tolerance: sum over the vertices of the volume that a step leaves out of balance, over the volume
            injected so far [1].
        force_tolerance: Euclidean norm of the nodal forces that it leaves out of balance [N]; 1e-4 N is a
            thousandth of what a needle's bleb puts on the dura, and moves no reported figure by 1e-3.
        smallest_step: below which a run gives up [s].
        growth: factor on the step after one that took at most ``fast_iterations``; more than twice as many halve it.
        fast_iterations: see ``growth``.
        steps_to_growth: accepted steps after a rejected one before the next grows: the length that has just failed is
            mostly still too long, and a rejected step costs more iterations than several accepted ones.
        guess_iterations: Newton iterations that the extrapolated first guess is given before the plain one.
        folding_stiffness: keeps the cells of bonded fat from folding, as ``Fat.gradient_stiffness`` those of sliding
            fat [N]; 0 for nothing that does.
    """

    max_iterations: int = 20
    volume_tolerance: float = 2e-9
    force_tolerance: float = 1e-4
    smallest_step: float = 0.02
    growth: float = 2.0
    fast_iterations: int = 6
    steps_to_growth: int = 3
    guess_iterations: int = 8
    folding_stiffness: float = 0.0


@dataclass(frozen=True)
class PatchParameters:
    """All that a patch simulation needs beside the mesh (SI units).

    ``linear``: small strain and the limit of every law (`fem.linear`) in the place of finite strain.
    ``stand_up``: whether the supine patient stands up for a look at the pressure, before the patch and at the end.
    """

    materials: Materials
    csf: Csf
    injections: tuple[Injection, ...]
    time: TimeControl = TimeControl()
    solver: SolverControl = SolverControl()
    source_radius: float = SOURCE_RADIUS
    linear: bool = False
    contact: str = "bonded"
    leaks: tuple[Leak, ...] = ()
    mechanisms: Mechanisms = Mechanisms()
    posture: str = "supine"
    stand_up: bool = False
