"""Config -> runs: the grid, the facts that make a run's id canonical, and what each run builds on. The one room that the workflow imports.

Nothing here imports torch: the workflow reads it in every job.
"""

from baldro.grid.attribution import Crossing, crossings
from baldro.grid.config import load
from baldro.grid.contents import content
from baldro.grid.experiment import Experiment
from baldro.grid.fingerprint import code_of, fingerprint
from baldro.grid.methods import COMBINERS, OBJECTIVES, VARIANTS
from baldro.grid.moved import moved
from baldro.grid.needs import Needs
from baldro.grid.run import FIELDS, HYPERPARAMETERS, IDENTITY, Run

__all__ = [
    "COMBINERS",
    "FIELDS",
    "HYPERPARAMETERS",
    "IDENTITY",
    "OBJECTIVES",
    "VARIANTS",
    "Crossing",
    "Experiment",
    "Needs",
    "Run",
    "code_of",
    "content",
    "crossings",
    "fingerprint",
    "load",
    "moved",
]
