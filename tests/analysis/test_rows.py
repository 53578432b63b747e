"""Which cells are the best, and which of these are bold."""

from baldro.analysis.rows import Cell, Row, mark_best


def rows(*cells: dict[str, tuple[float, float | None, float | None]]) -> list[Row]:
    """A row a method: metric -> (mean, low, high)."""
    made = [{("s", name): Cell(mean=m, low=a, high=b, n=1) for name, (m, a, b) in own.items()} for own in cells]
    return [
        Row(objective=f"o{i}", variant="base", hyperparameters={}, cells=own, instead={}) for i, own in enumerate(made)
    ]


def marked(found: list[Row], name: str, what: str) -> list[bool]:
    return [getattr(row.cells["s", name], what) for row in found]


def test_bold_marks_at_most_half_of_the_methods():
    name = "model_utility"
    clear = rows(*({name: (mean, mean - 0.1, mean + 0.1)} for mean in (0.9, 0.85, 0.5, 0.4)))
    found = mark_best(clear, ("s",), (name,))
    assert marked(found, name, "best") == marked(found, name, "bold") == [True, True, False, False]
    alike = rows(*({name: (mean, mean - 0.1, mean + 0.1)} for mean in (0.9, 0.85, 0.82, 0.4)))
    found = mark_best(alike, ("s",), (name,))
    assert marked(found, name, "best") == [True, True, True, False]
    assert not any(marked(found, name, "bold"))
    assert not any(marked(mark_best(clear[:1], ("s",), (name,)), name, "bold")), "one method is compared with none"


def test_a_p_value_is_bold_where_its_statistic_is():
    p, d = "forget_quality", "forget_quality_d"
    alike = rows({p: (0.9, None, None), d: (0.1, 0.0, 0.4)}, {p: (0.3, None, None), d: (0.3, 0.0, 0.6)})
    found = mark_best(alike, ("s",), (p, d))
    assert marked(found, p, "best") == [True, False] and not any(marked(found, p, "bold"))
    clear = rows({p: (0.9, None, None), d: (0.1, 0.0, 0.2)}, {p: (0.3, None, None), d: (0.3, 0.2, 0.4)})
    assert marked(mark_best(clear, ("s",), (p, d)), p, "bold") == [True, False]


def test_what_has_no_direction_is_not_marked():
    found = mark_best(rows({"privleak": (1.0, None, None)}, {"privleak": (9.0, None, None)}), ("s",), ("privleak",))
    assert not any(marked(found, "privleak", "best"))
