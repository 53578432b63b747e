"""`baldro benchmark`: a benchmark's definition -> its rows as one table."""

import sys
from argparse import Namespace

from baldro import benchmarks
from baldro.durable.files import parse_json
from baldro.records import benchmark


def run(options: Namespace) -> None:
    """What the verb's options say."""
    frame = benchmarks.build(parse_json(options.definition, what="--definition"))
    benchmark.write(options.output, frame)
    sizes = ", ".join(f"{name} {n}" for name, n in frame.groupby("split", sort=False).size().items())
    print(f"{options.output}: content {benchmark.content_hash(frame)}; rows: {sizes}")
    for note in frame.attrs.get("notes", ()):
        print(f"warning: {note}")
        if options.log:  # which has it, and nobody reads
            print(f"baldro benchmark: warning: {note}", file=sys.stderr)
