"""The verbs' options, and how an error is told: one line for a mistake in the input, a trace for a defect."""

import argparse
import os
import signal
import sys
import traceback
from contextlib import ExitStack, redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import Any

from baldro import warm
from baldro.errors import BaldroError, out_of_memory
from baldro.jobs import imports


def main(arguments: list[str] | None = None) -> int:
    """Run one verb. Returns 0; 2 for a mistake in the input or a failed run, 130 after Ctrl-C (one line on standard error); 1 for a defect
    (a trace)."""
    if arguments is None and (code := warm.run(sys.argv[1:])) is not None:
        return code
    options = parser().parse_args(arguments)
    if hasattr(sys.stdout, "reconfigure"):  # a terminal of another locale shows what it cannot write as \\u2264
        sys.stdout.reconfigure(errors="backslashreplace")
    os.environ.setdefault("TQDM_DISABLE", "1")  # libraries' progress bars; a job has its own lines
    with ExitStack() as stack:
        log = None
        if options.log:
            options.log.parent.mkdir(parents=True, exist_ok=True)
            if options.log.is_file():
                options.log.unlink()  # an earlier process that lives on keeps the old file to itself
            log = stack.enter_context(options.log.open("w", buffering=1, encoding="utf-8"))
            stack.enter_context(redirect_stdout(log))
        try:
            with imports():
                verb = import_module(f"baldro.jobs.{options.verb}")
            verb.run(options)
            return 0
        except BrokenPipeError:  # the reader of our output has gone, as `| head` does
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        except KeyboardInterrupt:
            _tell(f"baldro {options.verb}: interrupted (Ctrl-C)", log)
            return 128 + signal.SIGINT
        except BaldroError as error:
            _tell(f"baldro {options.verb}: {error}", log)
            return 2
        except Exception as error:
            if what := out_of_memory(error):  # outside of training and scoring, as in loading
                _tell(
                    f"baldro {options.verb}: out of memory: {what}; allowed: a smaller model, or a GPU with more memory",
                    log,
                )
                return 2
            _tell(traceback.format_exc().rstrip(), log)
            return 1


def _tell(text: str, log: Any) -> None:
    for stream in filter(None, (sys.stderr, log)):
        print(text, file=stream, flush=True)


def parser() -> argparse.ArgumentParser:
    """All verbs, in the order in which data flows."""
    top = argparse.ArgumentParser(prog="baldro", description="LLM unlearning experiments as a grid.")
    subparsers = top.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(name: str, text: str) -> argparse.ArgumentParser:
        sub = subparsers.add_parser(name, help=text, description=text)
        sub.add_argument("--log", type=Path, help="also write what is printed to this file")
        return sub

    sub = verb(
        "check", "List every run that a config means, or say what is wrong with it or with its benchmarks' rows."
    )
    sub.add_argument("--config", type=Path, required=True)
    sub.add_argument(
        "--hub", action="store_true", help="also load benchmarks that are on the hub, which downloads them"
    )

    sub = verb("plan", "Runs, GPU jobs, disk and an estimate of GPU hours, with how it is estimated.")
    sub.add_argument("--config", type=Path, required=True)
    sub.add_argument(
        "--gpu",
        default=["a100-80"],
        nargs="+",
        help="a100-40, a100-80 (default), h100, h200, l40s or rtx4090; with how many of them a job may use: 4xa100-40. Of several, a table",
    )

    sub = verb("methods", "List objectives, robust variants and combiners, or show the docstrings of one.")
    sub.add_argument("name", nargs="?", help="an objective, a variant or a combiner; without it, all in a line each")

    sub = verb("benchmark", "Store a benchmark's records as one table.")
    sub.add_argument("--definition", required=True, help="the benchmark's entry in benchmarks.yaml, as JSON")
    sub.add_argument("--output", type=Path, required=True)

    sub = verb("model", "Look up where a model comes from and try its prompt; store what was found.")
    sub.add_argument("--name", required=True)
    sub.add_argument("--definition", required=True, help="the model's entry in models.yaml, as JSON")
    sub.add_argument("--max-new-tokens", type=int, default=0, help="longest continuation that will be asked of it")
    sub.add_argument("--output", type=Path, required=True)

    sub = verb(
        "download",
        "Bring a model's weights into this machine's cache of the hub, or check that they are where they are said to be.",
    )
    sub.add_argument("--place", help="a place of weights: hub:owner/name@revision, a folder or a GGUF file")
    sub.add_argument("--model", type=Path, help="without --place: what `baldro model` wrote, and --part of it; or")
    sub.add_argument("--name", help="... the model's name,")
    sub.add_argument("--definition", help="... its entry in models.yaml, as JSON,")
    sub.add_argument("--part", help="... and the part of it to bring (base, target, retain90, ..., tokenizer)")
    sub.add_argument("--output", type=Path, help="what there is, as JSON; without it that is only printed")

    sub = verb("tasks", "Look up tasks of lm-evaluation-harness and bring their data to this machine.")
    sub.add_argument("--definition", required=True, help="lm_eval of a benchmark's entry, as JSON")
    sub.add_argument("--output", type=Path, required=True)

    sub = verb("train", "Train one run: pretrain, finetune or unlearn.")
    _of_a_run(sub)
    sub.add_argument("--retain-split", help="the split that retain batches are drawn from")
    sub.add_argument(
        "--reference", type=Path, help="what `baldro reference` wrote, for objectives that compare with it"
    )
    sub.add_argument(
        "--alternate-reference",
        type=Path,
        help="the same of the other answers, for objectives that teach one and compare with it",
    )
    sub.add_argument("--output", type=Path, required=True, help="the run's folder")
    sub.add_argument(
        "--micro-batch", type=int, default=64, help="sequences per forward pass: memory and speed, not the result"
    )
    sub.add_argument(
        "--gradient-checkpointing",
        type=int,
        nargs="?",
        const=1,
        default=0,
        choices=(0, 1),
        help="less memory, about a third more time",
    )
    sub.add_argument("--checkpoint-steps", type=int, help="write a checkpoint every so many steps")
    sub.add_argument("--checkpoint-minutes", type=float, default=10, help="... and when the last one is so old")
    sub.add_argument("--every", type=float, default=5, help="seconds between lines of progress")
    sub.add_argument(
        "--samples", type=Path, help="also score the model, as `baldro score` does, while it is in memory; where to"
    )
    sub.add_argument(
        "--keep",
        choices=("nothing", "model", "finished"),
        default="nothing",
        help="with --samples, what stays of the model: nothing (default), the model, or with it what another scoring starts from",
    )
    _of_evidence(sub)

    sub = verb(
        "reference",
        "Log-probabilities of the forget answers, or of other answers to the forget questions, under the model before unlearning.",
    )
    _of_a_run(sub)
    sub.add_argument("--output", type=Path, required=True)
    sub.add_argument(
        "--answers",
        choices=("answer", "idk", "alternates"),
        default="answer",
        help="the gold answers (default), some that decline, or the benchmark's alternate ones",
    )

    sub = verb("score", "Take the evidence: per sample, candidate answer and token, and greedy continuations.")
    _of_a_run(sub)
    sub.add_argument("--output", type=Path, required=True)
    _of_evidence(sub)

    sub = verb("metrics", "Turn evidence, ours or a published log, into numbers with intervals; needs no model.")
    sub.add_argument("--run", help="the run's id; by default the name of the evidence")
    sub.add_argument(
        "--samples",
        type=Path,
        required=True,
        help="what `baldro score` wrote, a TOFU_EVAL.json / MUSE_EVAL.json (.gz), or an eval_log_aggregated.json of TOFU's own code",
    )
    sub.add_argument("--retain-samples", type=Path, help="the same of the retain model, ours or published")
    sub.add_argument(
        "--alone", action="store_true", help="without a retain model: no forget quality, PrivLeak against chance"
    )
    sub.add_argument(
        "--itself", action="store_true", help="the model is the retain model: quality 1 and PrivLeak 0 are meant"
    )
    sub.add_argument("--output", type=Path, help="metrics.json; without it the numbers are printed")
    sub.add_argument("--per-sample", type=Path, help="also write every per-sample value to this parquet file")
    sub.add_argument("--export", type=Path, help="also write a log in open-unlearning's format (TOFU_EVAL.json)")

    sub = verb("report", "Write an experiment's tables, figures and HTML page.")
    _of_an_experiment(sub)
    sub.add_argument(
        "--allow-missing",
        action="store_true",
        help="report what there is; a failed or missing run is a row that says so",
    )

    sub = verb("summary", "Print an experiment's main table and where its tables, figures and report are.")
    _of_an_experiment(sub)
    return top


def _of_a_run(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--run", required=True, help="the run's id")
    sub.add_argument("--benchmark", type=Path, required=True, help="what `baldro benchmark` wrote")
    sub.add_argument("--model", type=Path, required=True, help="what `baldro model` wrote")
    sub.add_argument("--start", type=Path, help="folder of the model to start from")
    sub.add_argument(
        "--part",
        default="build",
        help="without --start: which of the model's places to start from (build, base, target, retain90, ...)",
    )
    sub.add_argument("--threads", type=int, default=1, help="CPU threads")
    sub.add_argument("--batch-tokens", type=int, default=16384, help="padded tokens in one forward pass of scoring")
    sub.add_argument("--devices", type=int, default=1, help="processes of this job on a node, one a GPU; 0 is 1")
    sub.add_argument(
        "--nodes", type=int, default=1, help="nodes of the SLURM job, each with so many; it runs on the first"
    )
    sub.add_argument(
        "--shard",
        type=int,
        nargs="?",
        const=1,
        default=0,
        choices=(0, 1),
        help="split the model, and in training its gradients and optimiser state, over them: less memory, the same result to rounding",
    )


def _of_an_experiment(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--config", required=True, help="a config file, or the config itself as JSON")
    sub.add_argument(
        "--results", type=Path, default=Path("results"), help="folder with runs/ and reports/ (default: results)"
    )


def _of_evidence(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--holdout", help="the split that no model saw, for membership attacks; running text has its own")
    sub.add_argument("--max-new-tokens", type=int, default=200, help="longest continuation")
    sub.add_argument("--evaluate-rows", type=int, help="only the first so many rows of each section")
    sub.add_argument(
        "--gradient-norms", action="store_true", help="for the gradient-norm attack: a backward pass a row"
    )
    sub.add_argument(
        "--fluency",
        help="the fluency classifier: a folder, hub:owner/name@revision, or what `baldro download` wrote of it",
    )
    sub.add_argument(
        "--lm-eval", type=Path, help="tasks of lm-evaluation-harness to ask too: what `baldro tasks` wrote"
    )
    sub.add_argument("--lm-eval-batch", type=int, default=8, help="their sequences in one forward pass")


if __name__ == "__main__":
    sys.exit(main())
