"""Two steps of a patch on a short span; prints the row. Run by test_ranks.py under mpirun."""

import json

from mpi4py import MPI

from fem.parameters import MMHG, Csf, Injection, Materials, PatchParameters, SolverControl, TimeControl
from fem.simulation import Simulation, build_model
from geometry import Anatomy, MeshSize, cached_mesh

ML = 1e-6


def main() -> None:
    anatomy = Anatomy.from_table()
    spine = cached_mesh(anatomy, ("L3", "L4"), MeshSize.named("draft"), [anatomy.needle_tip("L3/L4").point[2]])
    csf = Csf(8.6 * MMHG, 25.9 * ML, 0.0, 8.6 * MMHG / ML * 60, 0.3 * ML / 60)
    injection = Injection("L3/L4", 1 * ML, 20 * ML / 60)
    # as tight as round-off allows, so that ranks are compared and not stopping points
    solver = SolverControl(volume_tolerance=3e-10, force_tolerance=1e-10)
    parameters = PatchParameters(Materials.from_table(), csf, (injection,), TimeControl(), solver)
    simulation = Simulation(build_model(MPI.COMM_WORLD, spine, parameters), parameters)
    for _ in range(2):
        simulation.step(0.25)
    row, _ = simulation.row()
    if MPI.COMM_WORLD.rank == 0:
        print("ROW " + json.dumps(row))


if __name__ == "__main__":
    main()
