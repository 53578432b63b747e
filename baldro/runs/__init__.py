"""Config -> runs: the grid, the facts that make a run's id canonical, and what each run builds on. The one room that the workflow imports.

Nothing here imports torch: the workflow reads it in every job.
"""

from baldro.durable.contents import content
from baldro.methods.catalogue import COMBINERS, OBJECTIVES, VARIANTS
from baldro.runs.crossings import Crossing, crossings
from baldro.runs.experiment import Experiment
from baldro.runs.fields import FIELDS, HYPERPARAMETERS, IDENTITY
from baldro.runs.fingerprint import code_of, fingerprint
from baldro.runs.ids import shape
from baldro.runs.moved import moved
from baldro.runs.needs import Needs
from baldro.runs.packages import check_packages, packages_of
from baldro.runs.read import READ
from baldro.runs.run import Run
from baldro.stages import KINDS, STAGES

__all__ = [
    "COMBINERS",
    "FIELDS",
    "HYPERPARAMETERS",
    "IDENTITY",
    "KINDS",
    "OBJECTIVES",
    "READ",
    "STAGES",
    "VARIANTS",
    "Crossing",
    "Experiment",
    "Needs",
    "Run",
    "check_packages",
    "code_of",
    "content",
    "crossings",
    "fingerprint",
    "moved",
    "packages_of",
    "shape",
]
