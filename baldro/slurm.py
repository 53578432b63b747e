"""What SLURM did to a job, in a word or two: the same words while a workflow runs and in its report.

States: https://slurm.schedmd.com/job_state_codes.html
"""

STATES = {
    "OUT_OF_MEMORY": "out of memory",
    "TIMEOUT": "time limit",
    "DEADLINE": "time limit",
    "NODE_FAIL": "node lost",
    "BOOT_FAIL": "node lost",
    "PREEMPTED": "preempted",
    "CANCELLED": "cancelled",
}
"""In any other state the program ended by itself, and its own words say why."""


def stopped_by(state: str, reason: str) -> str | None:
    """What ended a job from outside; None if it ended by itself.

    Args:
        state: SLURM's, or "" if it is not known.
        reason: in the executor's words: a program that was told to leave before its time limit ended in any state.
    """
    if reason.startswith("stopped ahead of the time limit"):
        return STATES["TIMEOUT"]
    return STATES.get(state)
