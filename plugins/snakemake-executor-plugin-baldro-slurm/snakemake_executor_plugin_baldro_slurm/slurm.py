"""What SLURM says of jobs: which ones live, and how one ended, in words. Nothing here knows of Snakemake.

States: https://slurm.schedmd.com/job_state_codes.html
"""

import re
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

ENDED = {
    *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED"),
    *("REVOKED", "TIMEOUT"),
}
"""States that a job does not leave; a lost or preempted job that is requeued does not stay in its state."""
FIELDS = "JobIDRaw,State,ElapsedRaw,TimelimitRaw,AllocCPUS,ReqMem,MaxRSS,NodeList,Partition,AllocTRES"
TRANSIENT = re.compile(
    r"unable to contact|socket timed out|temporarily|connection refused|connect failure|try again|"
    r"MaxSubmit|GrpSubmit|submit limit|slurm_persist_conn|zero bytes",
    re.IGNORECASE,
)
"""What sbatch says when it is worth being asked again: the controller is away, or the queue is full."""


NEVER = re.compile(
    r"held|BadConstraints|DependencyNeverSatisfied|PartitionTimeLimit|InvalidAccount|InvalidQOS", re.IGNORECASE
)
"""Why a job waits that will not start without somebody's help."""


class Unanswered(Exception):
    """SLURM does not answer now; what it last said may no longer be true."""


@dataclass(frozen=True, kw_only=True)
class Live:
    """A job that waits, runs or is being cleaned up."""

    job: str
    state: str
    name: str
    folder: str
    """Where it was submitted."""
    reason: str
    """Why it waits."""


@dataclass(frozen=True, kw_only=True)
class End:
    """How a job ended; None where the cluster keeps no accounts of it."""

    state: str
    node: str = ""
    partition: str = ""
    held_seconds: int = 0
    limit_seconds: int = 0
    cpus: int = 0
    gpus: int = 0
    asked_mb: int | None = None
    used_mb: int | None = None


def ask(*command: str, seconds: float = 60) -> str:
    """What a SLURM command prints.

    Raises:
        Unanswered: it fails, takes too long, or is not there.
    """
    try:
        said = {"capture_output": True, "encoding": "utf-8", "errors": "replace"}
        done = subprocess.run(command, **said, timeout=seconds, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unanswered(str(error)) from None
    if done.returncode:
        raise Unanswered(done.stderr.strip() or f"{command[0]}: exit status {done.returncode}")
    return done.stdout


def live_jobs(prefix: str) -> list[Live]:
    """The user's jobs whose name begins so."""
    said = ask("squeue", "--me", "--noheader", "--states=all", "--format=%i|%T|%j|%r|%Z")
    rows = [line.split("|", 4) for line in said.splitlines() if line.count("|") >= 4]
    jobs = [Live(job=r[0], state=r[1], name=r[2], reason=r[3], folder=r[4].strip()) for r in rows]
    return [job for job in jobs if job.name.startswith(prefix) and job.state not in ENDED]


def cancel(jobs: Sequence[str]) -> None:
    """Cancel jobs, a few hundred a call.

    Raises:
        Unanswered: a call failed, perhaps since one of its jobs had ended; the others were made.
    """
    failed = None
    for start in range(0, len(jobs), 300):
        try:
            ask("scancel", *jobs[start : start + 300])
        except Unanswered as error:
            failed = error
    if failed:
        raise failed


def end_of(job: str) -> End | None:
    """How a job ended: from SLURM's accounts, else from the controller's memory; None if neither knows it (any more, or yet)."""
    for source in (_from_sacct, _from_scontrol):
        try:
            found = source(job)
        except (Unanswered, ValueError, KeyError):  # no answer, or none that is understood
            continue
        if found is not None and found.state in ENDED:
            return found
    return None


def _from_sacct(job: str) -> End | None:
    lines = ask("sacct", "--jobs", job, "--parsable2", "--noheader", f"--format={FIELDS}").splitlines()
    rows = [dict(zip(FIELDS.split(","), line.split("|"), strict=True)) for line in lines]
    whole = next((row for row in rows if row["JobIDRaw"] == job), None)
    if whole is None:
        return None
    steps = [row for row in rows if row is not whole]
    state = whole["State"].split(" ")[0]
    if any(step["State"] == "OUT_OF_MEMORY" for step in steps):
        state = "OUT_OF_MEMORY"
    used = [megabytes(step["MaxRSS"]) for step in steps if step["MaxRSS"]]
    return End(
        state=state,
        node=whole["NodeList"],
        partition=whole["Partition"],
        held_seconds=int(whole["ElapsedRaw"] or 0),
        limit_seconds=60 * int(whole["TimelimitRaw"]) if whole["TimelimitRaw"].isdigit() else 0,
        cpus=int(whole["AllocCPUS"] or 0),
        gpus=_gpus(whole["AllocTRES"]),
        asked_mb=megabytes(whole["ReqMem"]) if whole["ReqMem"] else None,
        used_mb=max(used) if used else None,
    )


def _from_scontrol(job: str) -> End | None:
    said = ask("scontrol", "--oneliner", "show", "job", job)
    values = dict(word.split("=", 1) for word in said.split() if "=" in word)
    if values.get("JobId") != job:
        return None
    return End(
        state=values["JobState"],
        node=values.get("NodeList", "").replace("(null)", ""),
        partition=values.get("Partition", ""),
        held_seconds=seconds(values.get("RunTime", "0:0")),
        limit_seconds=seconds(values.get("TimeLimit", "0:0")),
        cpus=int(values.get("NumCPUs", 0)),
        gpus=_gpus(values.get("TRES", "")),
        asked_mb=megabytes(values["MinMemoryNode"]) if "MinMemoryNode" in values else None,
    )


def megabytes(text: str) -> int:
    """SLURM's sizes, 400M, 1.5G, 12034K, 4Gn, in MiB; a number alone is in bytes for MaxRSS, and SLURM writes none so."""
    match = re.match(r"([\d.]+)([KMGT]?)", text)
    scale = {"": 1 / 2**20, "K": 1 / 1024, "M": 1, "G": 1024, "T": 1024**2}
    return round(float(match[1]) * scale[match[2]]) if match else 0


def seconds(text: str) -> int:
    """SLURM's times: 05:00, 1:02:03, 2-00:00:00; 0 for UNLIMITED and the like."""
    match = re.fullmatch(r"(?:(\d+)-)?((?:\d+:)*\d+)", text)
    if not match:
        return 0
    total = 0
    for part in match[2].split(":"):
        total = 60 * total + int(part)
    return total + 86400 * int(match[1] or 0)


def _gpus(tres: str) -> int:
    match = re.search(r"gres/gpu=(\d+)", tres)
    return int(match[1]) if match else 0


def reason(end: End | None, *, asked_mb: int, minutes: int, stopped: str, said: str, status: int | None = None) -> str:
    """Why a job failed, in words.

    Args:
        end: how SLURM says that it ended.
        asked_mb, minutes: memory and time that were asked for.
        stopped: the signal that stopped the job's script.
        said: the program's own last line.
        status: its exit status, if it ended by itself.
    """
    state = end.state if end else ""
    limit = f"{minutes} min"
    if state == "OUT_OF_MEMORY":
        used = f", used {end.used_mb} MB" if end.used_mb is not None else ""
        return f"out of memory: asked {asked_mb} MB{used}"
    if state in ("TIMEOUT", "DEADLINE"):
        return f"time limit of {limit}"
    if state in ("NODE_FAIL", "BOOT_FAIL"):
        return f"node {end.node or 'unknown'} was lost"
    if state == "PREEMPTED":
        return "preempted"
    if state == "CANCELLED":
        return "cancelled (scancel)"
    if stopped == "USR1":
        return f"stopped ahead of the time limit of {limit}"
    if said or (end is None and status is None):
        return said or "SLURM no longer knows the job"
    killed = f" (killed by signal {status - 128})" if status and status > 128 else ""
    return f"failed without a word: exit status {1 if status is None else status}{killed}"


def last_words(logs: Iterable[str | Path], *, since: float = 0.0) -> str:
    """The program's own one-line error, `baldro train: ...`, of the last log that has one; else a trace's last line.

    Args:
        since: logs that were last written before (seconds since the epoch) are of an earlier attempt.
    """
    last = ""
    for path in logs:
        try:
            if Path(path).stat().st_mtime < since:
                continue
            lines = [
                line.strip()
                for line in Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
                if line.strip()
            ]
        except OSError:
            continue
        own = [line for line in lines if re.match(r"baldro [a-z]+: ", line)]
        traced = any(line.startswith("Traceback") for line in lines)
        last = own[-1] if own else lines[-1] if traced else last
    return last


def is_final(said: str) -> bool:
    """Whether another attempt would end in the same way: baldro's own error, unless it was told to stop or has lost a process."""
    return bool(re.match(r"baldro [a-z]+: ", said)) and not re.search(
        r"interrupted by | belongs to | taken over | of this job (was lost|has ended): ", said
    )
