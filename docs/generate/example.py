"""The example report of the documentation, from the finished default experiment: python docs/generate/example.py.

The page's figures are kept in 64 colours, which are all that they need, so that the file stays small.
"""

import base64
import io
import re
import shutil
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
REPORT, EXAMPLE = ROOT / "results" / "reports" / "fictional", ROOT / "docs" / "example"
PICTURE = re.compile(r"data:image/png;base64,([A-Za-z0-9+/=]+)")


def smaller(found: re.Match[str]) -> str:
    """An embedded picture in 64 colours."""
    picture = Image.open(io.BytesIO(base64.b64decode(found[1]))).convert("RGB")
    kept = io.BytesIO()
    picture.quantize(64, dither=Image.Dither.NONE).save(kept, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(kept.getvalue()).decode()}"


if __name__ == "__main__":
    page = (REPORT / "report.html").read_text(encoding="utf-8")
    (EXAMPLE / "report.html").write_text(PICTURE.sub(smaller, page), encoding="utf-8")
    shutil.copy(REPORT / "figures" / "fictional--tiny--tradeoff.png", EXAMPLE / "tradeoff.png")
    shutil.copy(REPORT / "tables" / "fictional--tiny.csv", EXAMPLE / "table.csv")
