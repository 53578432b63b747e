"""`python -m baldro.cli`, for launchers that start a module (accelerate launch -m baldro.cli train ...)."""

import sys

from baldro.cli.main import main

sys.exit(main())
