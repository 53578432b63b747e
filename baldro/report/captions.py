"""What stands below a table."""

from typing import TYPE_CHECKING

from baldro.report.style import counted, metric

if TYPE_CHECKING:
    from baldro.report.tables import Table


OWN = "Retain's own forget quality, D, reference AUC and PrivLeak are against itself: 1, 0, 0.5 and 0 by construction."


def caption(table: "Table", rule: str, level: float) -> str:
    """What the numbers are, which rows are shown (`rule`, in words), what is bold, and where published ones come from."""
    names = "; ".join(f"{m.short} {m.arrow}".strip() + f": {m.label}" for m in map(metric, table.metrics))
    bold = " and, p aside, those within its interval" if _over(table) - {"", "range"} else ""
    directed = any(metric(name).better for name in table.metrics)
    text = [
        f"{table.title}. {_numbers(table, level)} {names}. {rule}",
        *([f"Bold: the best among the unlearning methods of a split{bold}."] if directed else []),
        "The goal of unlearning is the row Retain: values beyond it say that more was destroyed than forgotten.",
        *([OWN] if any(metric(name).retain_itself is not None for name in table.metrics) else []),
    ]
    if table.published:
        text.append("Published: the paper's numbers as a third party transcribed them (one seed, settings not stated).")
    return " ".join(text)


def _numbers(table: "Table", level: float) -> str:
    """What a cell holds, in words."""
    over = _over(table)
    has_p = any(metric(name).p_value for name in table.metrics)
    words = []
    if over & {"seeds", "range"}:
        (count,) = table.seeds if len(table.seeds) == 1 else (None,)
        whose = (
            f"Methods: mean of {counted(count, 'seed')}"
            if count
            else "Several seeds (their number: column seeds): mean"
        )
        words.append(
            f"{whose} ± half its {level:.0%} t interval over seeds, or its ends where the metric's range cuts it"
            + ("; p: mean (range over seeds)." * has_p or ".")
        )
    words.append("One run" if words else "One run each")
    if "samples" in over:
        words[-1] += f": value [its {level:.0%} interval over samples, taken as independent: rows about one author or "
        words[-1] += "article are alike, and over these it would be wider]" + "; p has none" * has_p
    else:
        words[-1] += ": value, no interval recorded"
    return " ".join(words) + "."


def _over(table: "Table") -> set[str]:
    return {cell.over for row in table.rows for key, cell in row.cells.items() if key[1] in table.metrics}
