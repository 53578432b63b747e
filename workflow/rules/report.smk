"""All runs of the experiment -> tables, figures and one page. After a failure too: what failed is a row that says so."""

REPORT = f"results/reports/{EXPERIMENT.name}"
REPORT_COMMAND = "baldro report --log {log} --config {params.config:q} --output {params.output}"


rule report:
    """Tables (csv, md, tex), figures (pdf, png) and report.html."""
    input:
        [f"{folder(run)}/metrics.json" for run in EXPERIMENT.runs],
    output:
        f"{REPORT}/report.html",
    params:
        config=json.dumps(config),
        output=REPORT,
        code=fingerprint("report"),
    log:
        f"logs/report/{EXPERIMENT.name}.log",
    benchmark:
        f"logs/report/{EXPERIMENT.name}.tsv"
    conda:
        "../../envs/report.yaml"
    shell:
        REPORT_COMMAND


onerror:
    shell(f"baldro report --config {shlex.quote(json.dumps(config))} --output {REPORT} --allow-missing || true")
