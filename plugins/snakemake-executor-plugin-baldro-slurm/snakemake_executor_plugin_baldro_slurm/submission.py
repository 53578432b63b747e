"""One SLURM job as files: a folder that outlives the Snakemake which made it, so that the next one can go on with its jobs.

.snakemake/baldro-slurm/{name}/
    submission.json   what was asked, and the members: Snakemake's jobs (a group of them counts as one), with their specs
    script.sh         runs the members one after the other
    job               a link to the SLURM job's id: the first job that starts makes it, and a twin finds it and leaves
    {i}.exit          a member's exit status, written whole when it has ended
    {i}.said          what the program of a failed member said last, as Snakemake first read it
    {i}.seen          Snakemake has taken note of it
    stopped           the signal that told the script to stop: nothing of a member that it cut off is to be believed
"""

import json
import os
import shlex
import shutil
import sys
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from . import slurm

FOLDER = Path(".snakemake/baldro-slurm")
"""Of a workflow's submissions, in its working directory."""
PREFIX = "baldro-"
"""Of the names of SLURM jobs."""

SCRIPT = """\
#!/bin/bash
cd {workdir} || exit 1
here={folder}
# sbatch may have been told to submit once more, not knowing that it had: the first job that starts does the work.
ln -s "$SLURM_JOB_ID" "$here/job" 2>/dev/null || [ "$(readlink "$here/job")" = "$SLURM_JOB_ID" ] || exit 0
rm -f "$here/stopped" # of before a requeue
turn=${{SLURM_RESTART_COUNT:-0}}
echo "$turn" >"$here/turn.$turn" && mv "$here/turn.$turn" "$here/turn"
mine() {{ [ "$(cat "$here/turn" 2>/dev/null)" = "$turn" ]; }} # or this is a node that was lost and is not dead: no word of it counts

stopping=
stop() {{ # SIGNAL: let every process of this job know, this shell apart
    stopping=$1
    echo "$1" >"$here/stopped"
    trap '' "$1"
    kill -"$1" 0
}}
trap 'stop USR1' USR1 # some time before the limit (sbatch --signal)
trap 'stop TERM' TERM # at the limit, a preemption, scancel

{warm}ended() {{ # INDEX STATUS
    mine || exit 0
    echo "$2 $turn" >"$here/$1.part.$turn"
    mv "$here/$1.part.$turn" "$here/$1.exit"
}}

last=0
member() {{ # INDEX COMMAND
    if [ -n "$stopping" ]; then return; fi
    mine || exit 0
    if [ -e "$here/$1.exit" ]; then # in an earlier turn
        ended "$1" "$(cut -d' ' -f1 "$here/$1.exit")"
        return
    fi
    (
        trap '' USR1 # for baldro, which knows what to do with it; Snakemake would die of it
        exec bash -c "$2"
    ) &
    local child=$! status=0
    while kill -0 "$child" 2>/dev/null; do # a signal ends `wait`, not the child
        wait "$child"
        status=$?
    done
    if [ "$status" -gt 128 ]; then # the signal's, if the child ended while the trap ran: bash remembers the child's own
        local own
        wait "$child" 2>/dev/null
        own=$?
        if [ "$own" != 127 ]; then status=$own; fi
    fi
    if [ "$status" != 0 ]; then last=$status; fi
    if [ "$status" = 0 ] || [ -z "$stopping" ]; then ended "$1" "$status"; fi
}}

{members}
if [ -n "$stopping" ]; then exit 1; fi
exit "$last"
"""


WARM = """\
# The members share a process that has loaded the libraries: each is a fork of it. It ends with this shell, which holds its standard input.
export BALDRO_WARM=$(mktemp -d "${{TMPDIR:-/tmp}}/baldro-XXXXXX")/socket
coproc exec {python} -P -m baldro.warm "$BALDRO_WARM" >&2

"""
"""Of the script of a pack."""


@dataclass(frozen=True, kw_only=True)
class Member:
    """What is one job to Snakemake: a single one, or the group of a run's jobs."""

    specs: Mapping[str, str]
    """`rule wildcard=value ...` -> a hash of what the job is made from."""
    rules: Sequence[str]
    runs: Sequence[str]
    logs: Sequence[str]
    """Of the rules, in the order in which they run."""
    benchmarks: Sequence[str]
    """Files in which Snakemake notes the seconds that the rules ran."""


@dataclass(frozen=True, kw_only=True)
class Submission:
    """A SLURM job and its members."""

    folder: Path
    log: str
    """What SLURM and the members' Snakemakes say; %j is the job's id."""
    attempt: int
    gpus: int
    cpus: int
    mem_mb: int
    minutes: int
    members: Sequence[Member] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The SLURM job's name, by which it is found again."""
        return self.folder.name

    def write(self, commands: Sequence[str], *, workdir: Path) -> None:
        """Make the folder, before anything is submitted."""
        self.folder.mkdir(parents=True)
        members = "\n".join(f"member {i} {shlex.quote(command)}" for i, command in enumerate(commands))
        warm = WARM.format(python=shlex.quote(sys.executable)) if len(commands) > 1 else ""
        places = {"workdir": shlex.quote(str(workdir)), "folder": shlex.quote(str(self.folder))}
        script = SCRIPT.format(**places, members=members, warm=warm)
        (self.folder / "script.sh").write_text(script, encoding="utf-8")
        content = asdict(self) | {"folder": str(self.folder)}
        part = self.folder / "submission.part"
        part.write_text(json.dumps(content, indent=1), encoding="utf-8")
        part.rename(self.folder / "submission.json")

    def job(self) -> str | None:
        """Id of the SLURM job that does the work, once it has started."""
        try:
            return os.readlink(self.folder / "job")
        except OSError:
            return None

    def exit_status(self, index: int) -> int | None:
        """A member's exit status, once it has ended by itself in the present turn of the job, or before it."""
        try:
            status, turn = (self.folder / f"{index}.exit").read_text(encoding="utf-8").split()
            return int(status) if turn == (self.folder / "turn").read_text(encoding="utf-8").strip() else None
        except (OSError, ValueError):  # not there, or a file system that cannot say now
            return None

    def began(self) -> float | None:
        """When the job first started, in seconds since the epoch; None while it waits."""
        try:
            return (self.folder / "job").lstat().st_mtime
        except OSError:
            return None

    def ended_at(self, index: int) -> float:
        """When a member ended, in seconds since the epoch."""
        return (self.folder / f"{index}.exit").stat().st_mtime

    def last_words(self, index: int) -> str:
        """What a member's program said last, as it is first asked for: the member's next attempt begins the log anew."""
        kept = self.folder / f"{index}.said"
        if not kept.is_file():
            said = slurm.last_words(self.members[index].logs, since=(self.began() or 0) - 5)
            part = kept.with_suffix(".part")
            part.write_text(said, encoding="utf-8")
            part.replace(kept)
        return kept.read_text(encoding="utf-8")

    def see(self, index: int) -> None:
        """Note that Snakemake has taken note of a member's end."""
        (self.folder / f"{index}.seen").touch()

    def is_seen(self, index: int) -> bool:
        """Whether it has."""
        return (self.folder / f"{index}.seen").exists()

    def give_up(self) -> None:
        """Expect nothing more of members that have not ended: their job is gone."""
        for index in range(len(self.members)):
            if self.exit_status(index) is None:
                self.see(index)

    def is_settled(self) -> bool:
        """Whether nothing more is to be learnt from this submission's members."""
        return all(self.is_seen(index) for index in range(len(self.members)))

    def stopped(self) -> str:
        """The signal that stopped the script, or nothing."""
        try:
            return (self.folder / "stopped").read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return ""

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)


def new_name() -> str:
    """A name that no other SLURM job has."""
    return PREFIX + uuid.uuid4().hex


def read_all(folder: Path) -> list[Submission]:
    """The submissions of earlier Snakemakes; one that was killed before it wrote all of a folder submitted nothing."""
    found = []
    for path in sorted(folder.glob(f"{PREFIX}*/submission.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        members = [Member(**member) for member in content.pop("members")]
        found.append(Submission(**{**content, "folder": path.parent, "members": members}))
    return found
