"""Before anything runs: what a Snakemake that was killed left. Its lock is no lock, and its jobs on the cluster are not to be run beside."""

import os
import socket
import subprocess
from pathlib import Path

import psutil

OWNER = Path(".snakemake/owner.json")


def born(pid):
    """When a process of this machine began; None if it is gone. Numbers of processes are used again."""
    try:
        return psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return None


def claim():
    """Note that this Snakemake works in this folder."""
    OWNER.parent.mkdir(exist_ok=True)
    part = OWNER.with_suffix(f".{os.getpid()}")
    part.write_text(json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "born": born(os.getpid())}))
    part.replace(OWNER)


def unlock():
    """Remove the lock of a Snakemake of this machine that is gone; one of another machine is for the user to judge (--unlock)."""
    owner = json.loads(OWNER.read_text()) if OWNER.is_file() else None
    locks = list(Path(".snakemake/locks").glob("*.lock"))
    if owner and owner["host"] == socket.gethostname():
        began = born(owner["pid"])
        if began is not None and abs(began - owner["born"]) < 5:  # the clock may have been set meanwhile
            return
    elif locks:
        return
    for lock in locks:
        lock.unlink(missing_ok=True)
    claim()


def left_on_cluster():
    """Live SLURM jobs that a killed Snakemake of this folder submitted: the slurm profile goes on with them, others cannot."""
    names = {path.name for path in Path(".snakemake/baldro-slurm").glob("baldro-*")}
    if not names:
        return []
    try:
        command = ["squeue", "--me", "--noheader", "--format=%i %j"]  # a name may have spaces
        rows = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        sys.exit(
            "baldro: an earlier run in this folder left jobs on a cluster, and squeue does not answer; "
            "allowed: a machine of the cluster, or delete .snakemake/baldro-slurm if they are gone"
        )
    jobs = (row.strip().split(maxsplit=1) for row in rows)
    return [job for job, *name in jobs if name and name[0] in names]


if workflow.is_main_process:
    unlock()
    for line in moved(EXPERIMENT):
        print(f"baldro: {line}", file=sys.stderr)


onstart:
    claim()  # a dry run may have claimed the folder in between; this Snakemake now holds the lock
    if workflow.local_exec and (live := left_on_cluster()):
        sys.exit(
            f"baldro: SLURM jobs {', '.join(live)} of an earlier run in this folder are live; "
            "allowed: go on with them (PROFILE=slurm), or scancel them first"
        )
