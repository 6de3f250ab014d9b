"""Where things are: anatomy table, cross-sections, mesh of the spinal canal, landmarks. No physics."""

from .anatomy import Anatomy
from .build import REFINE_RADIUS, build_mesh
from .cache import cached_mesh, mesh_key
from .errors import AnatomyError, MeshError
from .exchange import check_format, write_mesh
from .landmarks import APPROACHES, TIP_SIDES, Landmark
from .leaks import SITES as LEAK_SITES
from .leaks import LeakPlace, leak_place
from .mesh import Continuation, SpineMesh
from .quality import LEAST_QUALITY, QualityReport
from .reading import read_mesh
from .refine import Source, resolved
from .regions import REGION_OF_SUBREGION, Region, Subregion, foramen_name
from .size import NAMED_LENGTHS, SOURCE_RADIUS, MeshSize
from .tables import Provenance

__all__ = [
    "APPROACHES",
    "LEAK_SITES",
    "LEAST_QUALITY",
    "NAMED_LENGTHS",
    "REFINE_RADIUS",
    "REGION_OF_SUBREGION",
    "SOURCE_RADIUS",
    "TIP_SIDES",
    "Anatomy",
    "AnatomyError",
    "Continuation",
    "Landmark",
    "LeakPlace",
    "MeshError",
    "MeshSize",
    "Provenance",
    "QualityReport",
    "Region",
    "Source",
    "SpineMesh",
    "Subregion",
    "build_mesh",
    "cached_mesh",
    "check_format",
    "foramen_name",
    "leak_place",
    "mesh_key",
    "read_mesh",
    "resolved",
    "write_mesh",
]
