"""Fixtures that several rooms share."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with published logs and real benchmark rows: $BALDRO_SHARED, or `shared` beside the checkout.

    Users do not have it: tests that need it are skipped and say so, unless BALDRO_REQUIRE_SHARED=1 (as in CI).
    """
    folder = Path(os.environ.get("BALDRO_SHARED", ROOT.parent / "shared"))
    if not (folder / "data").is_dir():
        message = f"no shared data at {folder} (set BALDRO_SHARED)"
        if os.environ.get("BALDRO_REQUIRE_SHARED") == "1":
            pytest.fail(message)
        pytest.skip(message)
    return folder
