"""The methods page, in Markdown."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from baldro.cli.methods.entries import NEEDS, Entry, allowed, default, passes, retain_losses, texts, written
from baldro.cli.methods.names import NOT_HERE, OTHERWISE
from baldro.cli.methods.text import TITLES
from baldro.methods.catalogue import Objective
from baldro.plan import cost
from baldro.plan.passes import CURVED, of_retain
from baldro.runs import FIELDS, OBJECTIVES, Run
from baldro.stages.stage import LORA


def _those(which: Callable[[Objective], bool]) -> str:
    return ", ".join(f"`{name}`" for name, method in OBJECTIVES.items() if which(method))


HEAD = f"""\
# Methods

`baldro methods --output docs/methods.md` wrote this page from the methods' own modules: edit those (in `baldro/methods/`), and
write it again. `baldro methods` lists them, `baldro methods NAME` has an entry.

A run has one of each: an objective gives each sample of the forget batch a loss, a variant weighs these losses, a combiner
makes one update of the forget and the retain gradient. Any of the one goes with any of the others.

**Cost** is counted in passes of a sample through the model, a step. A backward pass takes about twice the arithmetic of a
forward pass, a product with the second derivative about {CURVED} times that of a forward and a backward pass. A batch has two
halves, its forget samples and as many retain samples. An objective's cost is that with variant base, a variant's that with an
objective of 1 forward and backward, a combiner's that with both; together they multiply."""
ABOUT = {
    "objective": "Losses of a sample, to be minimised: high means still remembered. Where it is a mean over tokens "
    f"({_those(lambda method: method.tokens)}), `forget_normalisation: token-mean` takes the mean over all answer tokens of the "
    "batch instead of each sample's (of the kept samples, with a variant that keeps some), as released trainers do.",
    "variant": "Weights of the losses of the whole effective batch, whatever the micro-batch and the number of devices. A "
    "half of more sequences than `micro_batch` (needs, in models.yaml) takes several passes, and so does any on several "
    "devices; "
    "then a sample whose weight turns out to be 0 goes no further than its first. "
    "`robust_scope: micro-batch` takes each `micro_batch_size` samples of either half as a batch of its own and averages over "
    "these, as released trainers do. "
    f"`dv_level: token` is for objectives whose loss is a mean over tokens: {_those(lambda method: method.tokens)}.",
    "combiner": "g_f and g_r are the gradients of the forget and the retain loss, gamma is forget_weight, lam is "
    f"retain_weight. Without a retain half there is nothing to combine: {_those(lambda method: not method.retains)}.",
}
RETAIN = ("forget_weight", "retain_weight", "retain_loss", "retain_normalisation", "retain_variant")


def page(entries: Mapping[str, Entry]) -> str:
    """The page of all methods."""
    parts = [HEAD]
    for kind, title in TITLES.items():
        own = [entry for entry in entries.values() if entry.kind == kind]
        parts += [f"## {title}", ABOUT[kind], _overview(own), *(_entry(entry) for entry in own)]
    parts += [*_needs(), *_retain(), *_lora(), *_names()]
    return "\n\n".join(parts) + "\n"


def _overview(entries: Sequence[Entry]) -> str:
    needs, memory = any(entry.needs for entry in entries), any(entry.memory for entry in entries)
    heads = [entries[0].kind, "what it is", "source", *(["needs"] * needs), *entries[0].cost, *(["memory"] * memory)]
    return _table(
        heads,
        (
            [
                f"[`{e.name}`](#{e.name})",
                e.what,
                e.paper,
                *([", ".join(e.needs)] * needs),
                *e.cost.values(),
                *([e.memory] * memory),
            ]
            for e in entries
        ),
    )


def _entry(entry: Entry) -> str:
    declared = entry.declared
    parts = [f"### {entry.name}", declared.source, f"```text\n{declared.formula}\n```"]
    if declared.fields:
        parts.append(_fields(declared.fields))
    lines = []
    if entry.label:
        lines.append(f"In tables: {entry.label}.")
    if entry.usual:
        lines.append(
            f"Usual with it: {', '.join(f'`{name}: {written(name, value)}`' for name, value in entry.usual.items())}."
        )
    if entry.also:
        lines.append(f"Further fields that matter with it: {', '.join(f'`{name}`' for name in entry.also)}.")
    lines += [f"Needs `{need}`: {NEEDS[need]}." for need in entry.needs]
    lines.append(f"Cost: {'; '.join(f'{what}: {count}' for what, count in entry.cost.items())}.")
    if declared.cost:
        lines.append(f"Of its cost, the module says: {declared.cost}")
    if entry.memory:
        lines.append(f"Memory beside weights, optimiser and one gradient: {entry.memory}.")
    return "\n\n".join([*parts, "\n".join(f"- {line}" for line in lines)])


def _needs() -> Iterable[str]:
    yield "## What objectives need"
    yield _table(["needs", "what it is, and what it takes"], ([f"`{need}`", text] for need, text in NEEDS.items()))


def _retain() -> Iterable[str]:
    yield "## The retain half"
    yield f"A retain loss stands beside every objective but {_those(lambda method: not method.retains)}."
    yield _fields(RETAIN)
    rows = []
    for name, formula in retain_losses().items():
        objective = "rmu" if name == "activations" else "npo"
        run = Run.of(benchmark="b", model="m", split="s", objective=objective, retain_loss=name)
        rows.append([f"`{name}`", f"`{formula}`", passes(of_retain(run))])
    yield _table(["retain_loss", "what it is", "retain sample"], rows)
    yield (
        "The model before unlearning is not held as a second model: hidden states of the samples that are compared are in the "
        "node's memory, for `kl` with a copy of the output head on the device. `activations` needs an objective that "
        f"names a layer: {_those(lambda method: 'activations' in method.needs)}. Every retain loss is of answer tokens; "
        "released code averages `kl` over all positions of the padded batch, prompts and padding too."
    )
    yield (
        "`retain_variant` weighs the retain batch as a variant weighs the forget batch, its fields with `retain_` before them "
        "(`retain_dv_beta`). It needs a loss of each sample, so `retain_normalisation: sample-mean` or `token-sum`. The paper "
        "says that it brings nothing (BalDRO, arXiv 2601.09172, Fig. 5)."
    )


def _lora() -> Iterable[str]:
    yield "## LoRA"
    yield _fields(("lora_rank", *LORA))
    frozen = (f"{cost.FROZEN[name]} bytes in training instead of {cost.STATE[name]}" for name in ("fp32", "bf16"))
    yield (
        "Goes with any objective, variant and combiner. Only adapters have gradients: a frozen weight takes {} (bf16: {}), and "
        "two thirds of the arithmetic. In the end adapters are folded into the weights. `lora_start: fila` (LoKU, arXiv "
        "2408.06621) needs an objective that retains; it takes, once a run, a forward and a backward pass over each forget "
        "sample and as many retain samples, one at a time, and a decomposition of each matrix."
    ).format(*frozen)


def _names() -> Iterable[str]:
    yield "## Other names"
    yield _table(["elsewhere", "here"], OTHERWISE.items())
    yield "What is not here:"
    yield _table(["name", "why"], NOT_HERE.items())


def _fields(names: Iterable[str]) -> str:
    heads = ["field", "default", "allowed", "what it is"]
    return _table(heads, ([f"`{name}`", default(name), allowed(FIELDS[name]), texts()[name]] for name in names))


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
