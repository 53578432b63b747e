"""From a config to an unlearning paper's tables. A table of contents: the stages are in workflow/rules, the logic in baldro."""

from snakemake.utils import min_version

min_version("9.10")


if not workflow.config_settings.configfiles:  # an experiment replaces config.yaml, it does not add to it

    configfile: "config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/start.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/models.smk"
include: "workflow/rules/unlearn.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/report.smk"


rule all:
    default_target: True
    input:
        f"results/reports/{EXPERIMENT.name}/report.html",
        of_every_run("metrics.json"),  # a failure's report must not hide what is to be done
    localrule: True
