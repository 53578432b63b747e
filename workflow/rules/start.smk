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


def unlock():
    """Remove the lock of a Snakemake of this machine that is gone; one of another machine is for the user to judge (--unlock)."""
    owner = json.loads(OWNER.read_text()) if OWNER.is_file() else {}
    if owner.get("host", socket.gethostname()) != socket.gethostname():
        return
    if owner and born(owner["pid"]) == owner["born"]:
        return
    for lock in Path(".snakemake/locks").glob("*.lock") if owner else []:
        lock.unlink(missing_ok=True)
    OWNER.parent.mkdir(exist_ok=True)
    part = OWNER.with_suffix(f".{os.getpid()}")
    part.write_text(json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "born": born(os.getpid())}))
    part.replace(OWNER)


def left_on_cluster():
    """Names of live SLURM jobs that a killed Snakemake of this folder submitted: the slurm profile goes on with them, others cannot."""
    names = [path.name for path in Path(".snakemake/baldro-slurm").glob("baldro-*")]
    command = ["squeue", "--me", "--noheader", "--format=%i", f"--name={','.join(names)}"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split() if names else []


if workflow.is_main_process:
    unlock()


onstart:
    if workflow.local_exec and (live := left_on_cluster()):
        sys.exit(
            f"baldro: SLURM jobs {', '.join(live)} of an earlier run in this folder are live; "
            "allowed: go on with them (PROFILE=slurm), or scancel them first"
        )
