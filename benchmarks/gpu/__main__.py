"""One command for a GPU: checks, timings beside a textbook way and beside `baldro plan`, and a real experiment; needs no installation.

    PYTHONPATH=. python -m benchmarks.gpu --output FOLDER          # on a GPU, under eight minutes
    PYTHONPATH=. python -m benchmarks.gpu --device cpu --quick     # all of it in small, about two minutes

Each section has a time budget, and the failure of one leaves the others as they are. FOLDER gets gpu.json and gpu.md, written anew after
each section. The exit code is 0 if no section failed.
"""

import argparse
import os
import sys
from importlib import import_module
from pathlib import Path

SECTIONS = {
    "right": ("Right", 95.0),
    "fast": ("Fast", 140.0),
    "real": ("A real result", 195.0),
}
"""Module of each section -> its title, and its budget in seconds: 7:10 together, and 0:45 of grace, so that imports and the report of a
section that was cut off fit into eight minutes."""


def main(arguments: list[str] | None = None) -> int:
    """Run the sections; returns 0, or 1 if one failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--quick", action="store_true", help="everything in small")
    parser.add_argument("--output", type=Path, default=Path("results/gpu"), help="folder of gpu.json and gpu.md")
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--scale", type=float, default=1.0, help="factor of every budget, for slower cards")
    options = parser.parse_args(arguments)
    if options.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # before torch is imported: baldro takes a GPU if there is one
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # everything is local, and a connection that is tried costs minutes
    os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
    try:
        import torch
    except ImportError:
        print("benchmarks.gpu: torch is not installed; allowed: a Python that has torch", file=sys.stderr)
        return 2
    if options.device == "cuda" and not torch.cuda.is_available():
        print("benchmarks.gpu: torch sees no GPU; allowed: --device cpu --quick", file=sys.stderr)
        return 2
    from benchmarks.gpu.record import Record

    record = Record(options.output, device=torch.device(options.device), quick=options.quick)
    print(record.head(), flush=True)
    for name in options.sections:
        title, seconds = SECTIONS[name]
        record.take(title, seconds * options.scale, lambda name=name: import_module(f"benchmarks.gpu.{name}").rows)
    print(f"\n{record.folder / 'gpu.md'}: {record.verdict()}")
    return int(record.failed)


if __name__ == "__main__":
    sys.exit(main())
