"""Before anything runs: what a Snakemake that was killed left. Its lock is no lock, and its jobs on the cluster are not to be run beside.

A Snakefile calls these, whatever the executor: the next Snakemake of the folder may run its jobs on this machine.

    if workflow.is_main_process:
        unlock()

    onstart:
        claim()
        check_cluster(workflow)
"""

import json
import os
import socket
from pathlib import Path
from typing import Any

import psutil
from snakemake_interface_common.exceptions import WorkflowError

from . import slurm
from .submission import FOLDER, PREFIX

OWNER = Path(".snakemake/owner.json")


def claim() -> None:
    """Note that this Snakemake works in this folder."""
    OWNER.parent.mkdir(exist_ok=True)
    part = OWNER.with_suffix(f".{os.getpid()}")
    owner = {"host": socket.gethostname(), "pid": os.getpid(), "born": _born(os.getpid())}
    part.write_text(json.dumps(owner), encoding="utf-8")
    part.replace(OWNER)


def unlock() -> None:
    """Remove the lock of a Snakemake of this machine that is gone; one of another machine is for the user to judge (--unlock)."""
    owner = json.loads(OWNER.read_text(encoding="utf-8")) if OWNER.is_file() else None
    locks = list(Path(".snakemake/locks").glob("*.lock"))
    if owner and owner["host"] == socket.gethostname():
        began = _born(owner["pid"])
        if began is not None and abs(began - owner["born"]) < 5:  # the clock may have been set meanwhile
            return
    elif locks:
        return
    for lock in locks:
        lock.unlink(missing_ok=True)
    claim()


def check_cluster(workflow: Any) -> None:
    """Refuse to run jobs on this machine while SLURM jobs live that a killed Snakemake of this folder submitted.

    The executor of this package goes on with them; another cannot.

    Raises:
        WorkflowError: there are such jobs, or SLURM does not say.
    """
    names = {path.name for path in FOLDER.glob(f"{PREFIX}*")}
    if not workflow.local_exec or not names:
        return
    try:
        live = [job.job for job in slurm.live_jobs(PREFIX) if job.name in names]
    except slurm.Unanswered:
        raise WorkflowError(
            "baldro: an earlier run in this folder left jobs on a cluster, and squeue does not answer; "
            f"allowed: a machine of the cluster, or delete {FOLDER} if they are gone"
        ) from None
    if live:
        raise WorkflowError(
            f"baldro: SLURM jobs {', '.join(live)} of an earlier run in this folder are live; "
            "allowed: go on with them (PROFILE=slurm), or scancel them first"
        )


def _born(pid: int) -> float | None:
    """When a process of this machine began; None if it is gone. Numbers of processes are used again."""
    try:
        return psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return None
