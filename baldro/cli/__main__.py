"""`python -m baldro.cli`, for launchers that start a module (torchrun -m -- baldro.cli train ...)."""

import sys

from baldro.cli.main import main

sys.exit(main())
