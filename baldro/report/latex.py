"""A table in LaTeX: booktabs rules, spanning heads, every sign escaped."""

import re
from collections.abc import Iterator, Mapping

from baldro.analysis.rows import Row
from baldro.report.formats import Column, blocks, grouped, split_columns, value
from baldro.report.style import DASH
from baldro.report.tables import Table

LATEX = {
    "\\": r"\textbackslash{}",
    **{char: "\\" + char for char in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    DASH: "--",
    "\N{MINUS SIGN}": "$-$",
}


def latex(table: Table) -> str:
    """table* floats, one a split where all do not fit side by side; they need the packages booktabs and graphicx."""
    label = "tab:" + re.sub("[^a-zA-Z0-9]+", "-", table.stem)
    floats = []
    for i, part in enumerate(blocks(table)):
        splits = latex_escape(", ".join(part.splits))
        caption = latex_escape(" ".join([table.caption, *table.footnotes]))
        if i:
            caption = latex_escape(table.title) + rf": {splits}; notes as in Table~\ref{{{label}}}."
        elif part is not table:
            caption = f"{splits} of {caption}"
        floats.append(_float(part, caption, label if i == 0 else f"{label}-{i + 1}"))
    return "\n".join([r"% needs \usepackage{booktabs,graphicx}", *floats])


def _float(table: Table, caption: str, label: str) -> str:
    of_split = split_columns(table)
    heads, rules, start = [], [], 2
    for split, own in of_split.items():
        heads.append(rf"\multicolumn{{{len(own)}}}{{c}}{{{latex_escape(split)}}}")
        rules.append(rf"\cmidrule(lr){{{start}-{start + len(own) - 1}}}")
        start += len(own)
    names = [latex_escape(c.head) for own in of_split.values() for c in own]
    lines = [
        r"\begin{table*}",
        r"\centering",
        rf"\caption{{{caption}}}",
        rf"\label{{{label}}}",
        r"\resizebox{\ifdim\width>\textwidth\textwidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{l{'r' * len(names)}}}",
        r"\toprule",
        " & ".join(["", *heads]) + r" \\",
        "".join(rules),
        " & ".join([latex_escape(table.head), *names]) + r" \\",
    ]
    for _, rows in grouped(table):
        lines.append(r"\midrule")
        lines += [" & ".join([latex_escape(row.label), *_latex_cells(table, row, of_split)]) + r" \\" for row in rows]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}}", r"\end{table*}"]) + "\n"


def latex_escape(text: str) -> str:
    """Text that LaTeX prints as it is; signs that a plain LaTeX font lacks become a question mark."""
    return "".join(LATEX.get(char) or (char if ord(char) < 0x180 else "?") for char in text)


def _latex_cells(table: Table, row: Row, of_split: Mapping[str, list[Column]]) -> Iterator[str]:
    for split, own in of_split.items():
        if split in row.instead:
            yield rf"\multicolumn{{{len(own)}}}{{l}}{{\emph{{{latex_escape(row.instead[split])}}}}}"
            continue
        for column in own:
            cell = value(table, row, column)
            number, aside = _powers(cell.text), _powers(cell.aside)
            number = rf"\textbf{{{number}}}" if cell.bold else number
            yield number + (rf" {{\scriptsize {aside}}}" if cell.over == "samples" else f" {aside}").rstrip()


def _powers(text: str) -> str:
    """A cell's text with powers of ten, and signs that LaTeX has commands for."""
    text = re.sub(r"(\d\.\d)e([+-])0*(\d+)", lambda m: rf"${m[1]}\times10^{{{m[2].strip('+')}{m[3]}}}$", text)
    text = re.sub(r"(?<![\d$^{])-(?=\d)", "$-$", text)  # a minus, not the dash of a range
    return text.replace("±", r"$\pm$").replace(DASH, "--")
