"""Before anything runs: what a killed Snakemake left is put right, and what an edit of the config left behind is said."""

from baldro.warm import start as start_warm
from snakemake_executor_plugin_baldro_slurm.start import check_cluster, claim, unlock

if workflow.is_main_process:
    unlock()
    for line in moved(EXPERIMENT):
        print(f"baldro: {line}", file=sys.stderr)


onstart:
    claim()  # a dry run may have claimed the folder in between; this Snakemake now holds the lock
    check_cluster(workflow)
    for job in workflow.dag.needrun_jobs():
        # Else a report after a failure would show numbers of other inputs as results.
        if job.rule.name == "metrics":
            for file in map(Path, job.output):
                file.unlink(missing_ok=True)
    if workflow.local_exec:
        global WARM  # its end is what ends that process
        WARM = start_warm({"HF_HUB_OFFLINE": "1"})  # as OFFLINE has it
