"""What a config may say: its sections as typed models, and `load`, which makes its experiment.

A key's type, default, bounds and text stand once: in a model of this room, with a run's field (`baldro.runs.fields`), in a method's
module, or with a kind of benchmark. `python -m baldro.config` writes workflow/config.schema.yaml and docs/keys.md from them.
Nothing here imports torch: the workflow reads it in every job.
"""

from baldro.config.document import Config
from baldro.config.loading import load

__all__ = ["Config", "load"]
