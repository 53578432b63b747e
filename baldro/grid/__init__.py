"""Config -> runs: the grid, the facts that make a run's id canonical, and what each run builds on. The one room that the workflow imports.

Nothing here imports torch: the workflow reads it in every job.
"""

from baldro.grid.config import load
from baldro.grid.experiment import Experiment
from baldro.grid.fingerprint import code_of, fingerprint
from baldro.grid.methods import OBJECTIVES, VARIANTS
from baldro.grid.needs import Needs
from baldro.grid.run import FIELDS, HYPERPARAMETERS, IDENTITY, Run

__all__ = [
    "FIELDS",
    "HYPERPARAMETERS",
    "IDENTITY",
    "OBJECTIVES",
    "VARIANTS",
    "Experiment",
    "Needs",
    "Run",
    "code_of",
    "fingerprint",
    "load",
]
