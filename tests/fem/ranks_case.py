"""A leak that blood closes, a few steps on a short span; prints the row. Run by test_ranks.py under mpirun."""

import json

from mpi4py import MPI

from fem.materials import Materials
from fem.parameters import Injection, Leak, PatchParameters, SolverControl, TimeControl
from fem.simulation import Simulation, build_model
from geometry import Anatomy, MeshSize, Source, cached_mesh
from tests.fem.tissue import leaking_csf

ML = 1e-6


def main() -> None:
    anatomy = Anatomy.from_table()
    spine = cached_mesh(anatomy, ("L3", "L4"), MeshSize.named("default"), sources=[Source(anatomy.needle_tip("L3/L4"))])
    materials = Materials.from_table()
    leak = Leak("L3/L4", "dorsal", "midline", materials.hole.of_gauge(22))
    csf = leaking_csf(leak.conductance)
    injection = Injection("L3/L4", 5 * ML, 20 * ML / 60)
    # as tight as round-off allows, so that ranks are compared and not stopping points
    solver = SolverControl(volume_tolerance=3e-10, force_tolerance=1e-10)
    parameters = PatchParameters(materials, csf, (injection,), TimeControl(), solver, leaks=(leak,))
    simulation = Simulation(build_model(MPI.COMM_WORLD, spine, parameters), parameters)
    for length in (0.5, 1.0, 1.0, 1.5, 2.0, 3.0, 3.0, 3.0, 30.0, 60.0, 195.0, 300.0, 600.0):
        simulation.step(length)
    row, _ = simulation.row()
    if MPI.COMM_WORLD.rank == 0:
        print("ROW " + json.dumps(row))


if __name__ == "__main__":
    main()
