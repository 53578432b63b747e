"""What each verb does: read files, call the rooms above, write files whole."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def imports() -> Iterator[None]:
    """Where a verb's large modules are imported: without the garbage collector, which takes a fifth of the time of torch and transformers.

    Their objects stay for good, yet it would look through all of them several times meanwhile. What is there at the end, it leaves aside
    from then on; only once in a process, so that nothing which a caller in Python made later is kept.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if not gc.get_freeze_count():
            gc.freeze()
        if enabled:
            gc.enable()
