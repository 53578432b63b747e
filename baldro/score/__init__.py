"""Model -> evidence: per sample, per candidate answer, per token. The only evaluation step that needs the model; metrics need none.

The fluency classifier, which reads the evidence and not the model, stands apart in `baldro.score.fluency`.
"""

from baldro.score.generation import generate
from baldro.score.likelihood import reference, token_statistics
from baldro.score.table import candidates, check_room, evidence

__all__ = ["candidates", "check_room", "evidence", "generate", "reference", "token_statistics"]
