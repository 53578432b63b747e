"""Every file of results: a module each, which alone names its columns or fields and its place under results/.

    benchmark     data/{benchmark}.parquet              the rows of a benchmark
    model         models/{model}.json                   where a model's parts are, and its prompt
    weights       weights/{model}/{part}.json           weights that are on this machine; classifiers/{benchmark}.json too
    tasks         tasks/{benchmark}.json                tasks of lm-evaluation-harness that are on this machine
    reference     runs/{run}/reference{-kind}.parquet   log-probabilities of answers before unlearning
    run           runs/{run}/run.json                   what a training was and what it cost
    steps         runs/{run}/train.csv                  a row a step
    dynamics      runs/{run}/dynamics.parquet           a row a step and forget sample
    finished      runs/{run}/checkpoint/finished        all that a run made, until its evidence is read
    failure       runs/{run}/failed.json                why a training failed
    evidence      runs/{run}/samples.parquet            what a model said: a row a section, sample and candidate answer
    metrics       runs/{run}/metrics.json               numbers with intervals
    per_sample    runs/{run}/per_sample.parquet         the values behind them, a row a metric and sample
    slurm         slurm.jsonl                           a line a SLURM job
    report        reports/{experiment}/...              the long table of a report, and what it was made by

`write(path, value)` writes whole or not at all; `read(path)` gives the value, or one line that says what is wrong. A fixture that
writes through these has the real schema.
"""
