"""A leak that blood closes, a few steps on a short span; prints the row. Run by test_ranks.py under mpirun."""

import json

from mpi4py import MPI

from fem.parameters import MMHG, Csf, Injection, Leak, Materials, PatchParameters, SolverControl, TimeControl
from fem.regulation import Regulation, pressure_of_leak
from fem.simulation import Simulation, build_model
from geometry import Anatomy, MeshSize, cached_mesh

ML = 1e-6


def main() -> None:
    anatomy = Anatomy.from_table()
    spine = cached_mesh(anatomy, ("L3", "L4"), MeshSize.named("draft"), [anatomy.needle_tip("L3/L4").point[2]])
    materials = Materials.from_table()
    leak = Leak("L3/L4", "dorsal", "midline", materials.hole.of_gauge(22))
    regulation = Regulation(8.6 * MMHG, 8.6 * MMHG / ML * 60, 0.3 * ML / 60)
    rest = pressure_of_leak(regulation, leak.conductance)
    csf = Csf(
        rest.pressure,
        25.9 * ML,
        0.0,
        regulation.outflow_resistance,
        regulation.formation,
        set_point=regulation.set_point,
        epidural_pressure=rest.epidural,
    )
    injection = Injection("L3/L4", 1 * ML, 20 * ML / 60)
    # as tight as round-off allows, so that ranks are compared and not stopping points
    solver = SolverControl(volume_tolerance=3e-10, force_tolerance=1e-10)
    parameters = PatchParameters(materials, csf, (injection,), TimeControl(), solver, leaks=(leak,))
    simulation = Simulation(build_model(MPI.COMM_WORLD, spine, parameters), parameters)
    for length in (0.25, 2.75, 300.0, 300.0, 600.0):
        simulation.step(length)
    row, _ = simulation.row()
    if MPI.COMM_WORLD.rank == 0:
        print("ROW " + json.dumps(row))


if __name__ == "__main__":
    main()
