"""Model -> evidence: per sample, per candidate answer, per token. The only evaluation step that needs the model; metrics need none.

The fluency classifier, which reads the evidence and not the model, stands apart in `baldro.scoring.fluency`.
"""

from baldro.scoring.generation import generate
from baldro.scoring.likelihood import reference, token_statistics
from baldro.scoring.prepare import candidates, check_room
from baldro.scoring.table import evidence

__all__ = ["candidates", "check_room", "evidence", "generate", "reference", "token_statistics"]
