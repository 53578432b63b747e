"""What is read from a method's source: fields, bounds, texts, options; what cannot be read is one line; and Python agrees with it."""

import inspect
import re
from importlib import import_module
from typing import get_args, get_type_hints

import pytest
from refusals import refused

from baldro.errors import BaldroError
from baldro.methods import catalogue as methods
from baldro.methods.catalogue import COMBINERS, OBJECTIVES, VARIANTS
from baldro.methods.declared import GIVES, PACKAGE, Declared, declared
from baldro.runs.fields import _check_usual, _method_field

ROOMS = {"objectives": "objective", "variants": "variant", "combiners": "combiner"}
WHOLE = '''"""Mine: of the
first line (Author 2024, arXiv 0000.00000).

More of it.
"""

from typing import Annotated, Literal

import a_module_that_is_nowhere


def helper(a=1, *, b=2):
    return a + b


@objective(label="Mine", needs=("reference", "idk"), defaults={"retain_loss": "kl", "retain_weight": -2.5}, retains=False)
def token_loss(
    stats,
    *,
    mine_a: Annotated[float, "> 0, <= 1"] = 0.5,
    mine_b: Annotated[int, ">=-3,<7"] = -3,
    mine_c: float = 1e-3,
    mine_d: int = 4,
    mine_e: Literal["soft", "very-hard"] = "very-hard",
):
    """a log p,
    with its second line.

    Args:
        stats: not a field.
        mine_a: first of
            three lines, with: a colon
            and e.g. this.
        mine_b: The second.

        mine_c: behind an empty line.
        mine_d: fourth
        mine_e: fifth.

    Returns: (B, T).

    Cost: two
        forwards.

    Not this.
    """
'''


@pytest.fixture
def room(tmp_path, monkeypatch):
    """Reads files as the modules of a room, by name of the file; nothing is kept from one reading to the next."""
    monkeypatch.setattr("baldro.methods.declared.PACKAGE", tmp_path)

    def read(decorator: str = "objective", **files: str) -> dict[str, Declared]:
        (tmp_path / "room").mkdir(exist_ok=True)
        for name, text in files.items():
            (tmp_path / "room" / f"{name}.py").write_text(text)
        return dict(declared.__wrapped__("room", decorator))

    return read


def mine(fields: str = "", about: str = "", *, mark: str = '@objective(label="M")', name: str = "loss") -> str:
    """A module of one function with these fields."""
    return f'"""Mine."""\n\n\n{mark}\ndef {name}(stats{", *, " if fields else ""}{fields}):\n    """f.\n\n    Args:\n{about}    """\n'


def test_a_method_is_read_without_its_imports(room):
    (found,) = room(mine_too=WHOLE, helpers="def loss(): ...\n", __init__="def objective(): ...\n").values()
    assert (found.name, found.function) == ("mine-too", "token_loss")
    assert found.place.endswith("room/mine_too.py:17")
    assert found.options == {
        "label": "Mine",
        "needs": ("reference", "idk"),
        "defaults": {"retain_loss": "kl", "retain_weight": -2.5},
        "retains": False,
    }
    assert found.fields == {
        "mine_a": dict(kind=float, default=0.5, above=0, at_most=1, text="First of three lines, with: a colon and e.g. this."),
        "mine_b": dict(kind=int, default=-3, at_least=-3, below=7, text="The second."),
        "mine_c": dict(kind=float, default=0.001, text="Behind an empty line."),
        "mine_d": dict(kind=int, default=4, text="Fourth"),
        "mine_e": dict(kind=str, default="very-hard", choices=("soft", "very-hard"), text="Fifth."),
    }  # fmt: skip
    assert list(found.fields) == [f"mine_{letter}" for letter in "abcde"]
    assert found.source == "Mine: of the first line (Author 2024, arXiv 0000.00000)."
    assert found.formula == "a log p, with its second line."
    assert found.cost == "two forwards."


def test_what_is_not_said_is_empty(room):
    (found,) = room(plain='@objective(label="P")\ndef loss(stats):\n    return stats\n').values()
    assert (found.fields, found.source, found.formula, found.cost) == ({}, "", "", "")


def test_the_callers_arguments_are_no_fields(room):
    text = mine("gamma, lam: float, m: float = 1.0", "        m: m.\n", mark='@combiner(label="C")', name="update")
    assert list(room("combiner", own=text)["own"].fields) == ["m"]


A = "        a: A.\n"
UNREADABLE = {
    "an option that is no literal": mine(mark="@objective(label=NAME)"),
    "a call in an option": mine(mark='@objective(label="M", needs=tuple())'),
    "options that are unpacked": mine(mark="@objective(**OPTIONS)"),
    "a decorator that is not called": mine(mark="@objective"),
    "no line in Args": mine("a: float = 1.0"),
    "a line of another section": mine("a: float = 1.0").replace("Args:", "Args:\n        b: B.\n\n    Returns:\n        a: A."),
    "no annotation": mine("a=1.0", A),
    "no default": mine("a: float", A),
    "a default that is no literal": mine("a: float = ONE", A),
    "a default outside the choices": mine('a: Literal["x", "y"] = "z"', A),
    "a choice that would break an id": mine('a: Literal["x--y", "z"] = "z"', A),
    "a choice that is a path": mine('a: Literal["x/y", "z"] = "z"', A),
    "a choice that is a number": mine("a: Literal[1, 2] = 1", A),
    "free text": mine('a: str = "x"', A),
    "yes or no": mine("a: bool = True", A),
    "a number that is yes or no": mine("a: int = True", A),
    "a whole number that is not": mine("a: int = 1.5", A),
    "a number as text": mine('a: float = "1"', A),
    "nothing": mine("a: float = None", A),
    "a list": mine("a: list[float] = 1.0", A),
    "a default at an open bound": mine('a: Annotated[float, "> 0"] = 0.0', A),
    "a default below": mine('a: Annotated[float, ">= 0"] = -0.1', A),
    "a default above": mine('a: Annotated[float, "> 0, <= 1"] = 1.1', A),
    "a default at an open bound above": mine('a: Annotated[int, "< 3"] = 3', A),
    "a sign that is none": mine('a: Annotated[float, "== 0"] = 0.0', A),
    "a bound that is no number": mine('a: Annotated[float, "> zero"] = 1.0', A),
    "a bound that is no text": mine("a: Annotated[float, 0] = 1.0", A),
    "a field before the star": '@objective(label="M")\ndef loss(stats, a: float = 1.0):\n    ...\n',
    "any fields": '@objective(label="M")\ndef loss(stats, **fields):\n    ...\n',
    "another name": mine(name="lose"),
    "a variant's name": mine(name="weights"),
    "a class": '@objective(label="M")\nclass loss:\n    ...\n',
    "two functions": mine() + "\n\n" + mine(name="token_loss"),
    "a second function that would be called": mine() + "\n\ndef token_loss(stats): ...\n",
}  # fmt: skip


@pytest.mark.parametrize("case", UNREADABLE)
def test_what_cannot_be_read_is_one_line_with_its_place(room, case):
    text = UNREADABLE[case]
    line = next(n for n, line in enumerate(text.splitlines(), 1) if line.startswith(("def ", "class ")))
    with refused("method-not-readable", f"room/own.py:{line}: "):
        room(own=text)
    if "a: " in text:
        assert room(own=mine("a: float = 1.0", A)), "the same without the fault is read"


def test_a_file_that_is_no_python_is_one_line(room):
    with refused("not-python", "room/own.py:2: "):
        room(own="x = 1\ndef loss(:\n")


@pytest.mark.parametrize("name", ["_own", "own__too", "own-too", "Own", "own_"])
def test_a_name_that_would_break_an_id_is_refused(room, name):
    with refused("method-not-readable", f"{name}.py"):
        room(**{name: mine()})


@pytest.mark.parametrize("decorator", ROOMS.values())
def test_a_function_of_another_room_is_refused(room, decorator):
    for name in (name for names in GIVES.values() for name in names):
        text = mine(mark=f'@{decorator}(label="M")', name=name)
        if name in GIVES[decorator]:
            assert room(decorator, own=text)["own"].function == name
        else:
            with refused("method-not-readable", f"own.py:5: {name}", GIVES[decorator][0]):
                room(decorator, own=text)


# What the grid makes of it


def test_an_objective_is_made_of_what_it_says(room):
    found = methods._objective(room(own=WHOLE)["own"])
    assert (found.label, found.tokens, found.retains) == ("Mine", True, False)
    assert (found.answers, found.defaults["retain_loss"]) == ("idk", "kl")
    plain = methods._objective(room(own=mine(mark='@objective(label="M", defaults=None)'))["own"])
    assert (plain.tokens, plain.retains, plain.needs, dict(plain.defaults)) == (False, True, (), {})


@pytest.mark.parametrize(
    ("mark", "code", "facts"),
    [
        ('@objective(label="M", needs=("refrence",))', "unknown-need", ["'refrence'", "did you mean reference?"]),
        ('@objective(label="M", needs=("activations",))', "need-without-field", ["rmu_layer"]),
        ('@objective(label="M", lable="M")', "wrong-decorator-options", ["lable"]),
        ('@objective(label="M", unlearns=False)', "wrong-decorator-options", ["unlearns"]),
        ("@objective(needs=())", "wrong-decorator-options", ["label"]),
    ],
)  # fmt: skip
def test_what_a_decorator_may_not_say_is_one_line(room, mark, code, facts):
    with refused(code, "room/own.py:5: ", *facts):
        methods._objective(room(own=mine(mark=mark))["own"])


def made(room, decorator: str, mark: str, fields: str = "", about: str = "", *, module: str = "own"):
    name = GIVES[decorator][0]
    found = room(decorator, **{module: mine(fields, about, mark=f"@{decorator}({mark})", name=name)})[module]
    kind = {"objective": methods.Objective, "variant": methods.Variant, "combiner": methods.Combiner}[decorator]
    more = {"kind": name} if decorator == "combiner" else {}
    return methods._made(kind, found, {}, **more)


@pytest.mark.parametrize(
    ("decorator", "mark", "said"),
    [
        ("objective", 'label="M", defaults={"retain_los": "kl"}', "unknown field 'retain_los' in .*did you mean retain_loss"),
        ("objective", 'label="M", defaults={"retain_loss": "lk"}', "unknown retain_loss 'lk'"),
        ("combiner", 'label="M", memory="", defaults={"retain_weight": -1}', "retain_weight is -1; allowed: a number of at least 0"),
        ("variant", 'label="M", also=("robust_scop",)', "unknown field 'robust_scop' in .*did you mean robust_scope"),
    ],
)  # fmt: skip
def test_what_a_method_says_of_other_fields_must_be_there_and_allowed(room, decorator, mark, said):
    with pytest.raises(BaldroError, match=said) as caught:
        _check_usual(made(room, decorator, mark))
    assert "own.py:5: own" in str(caught.value)


def of_two(monkeypatch, **kinds: dict) -> dict:
    for name in ("OBJECTIVES", "COMBINERS", "VARIANTS"):
        monkeypatch.setattr(methods, name, kinds.get(name.lower(), {}))
    return methods.own_fields()


def test_one_name_means_one_thing(room, monkeypatch):
    def one(module: str, hint: str, default: str, text: str = "        a: A.\n"):
        return made(room, "objective", 'label="M"', f"a: {hint} = {default}", text, module=module)

    first, same = one("first", "float", "1.0"), one("same", "float", "1.0")
    assert list(of_two(monkeypatch, objectives={"first": first, "same": same})) == ["a"]
    for name, other in {
        "default": one("default", "float", "2.0"),
        "kind": one("kind", "int", "1"),
        "bounds": one("bounds", 'Annotated[float, "> 0"]', "1.0"),
        "text": one("text", "float", "1.0", "        a: Another.\n"),
    }.items():
        with refused("field-means-two-things", "first", name, "field a"):
            of_two(monkeypatch, objectives={"first": first, name: other})


def test_a_field_of_the_retain_batch_is_nobody_elses(room, monkeypatch):
    a = "        {0}: A.\n"
    variant = made(room, "variant", 'label="V"', "v_a: float = 1.0", a.format("v_a"), module="v")
    found = of_two(monkeypatch, variants={"v": variant})
    assert {name: spec["default"] for name, spec in found.items()} == {"v_a": 1.0, "retain_v_a": 1.0}
    other = made(room, "objective", 'label="O"', "retain_v_a: float = 2.0", a.format("retain_v_a"), module="o")
    with refused("field-means-two-things", "o: retain_v_a"):
        of_two(monkeypatch, objectives={"o": other}, variants={"v": variant})


@pytest.mark.parametrize("name", ["lr", "seed", "benchmark", "combiner"])
def test_a_field_that_every_run_has_is_no_methods(name):
    with pytest.raises(BaldroError, match=f"a method has a field {name}, which every run has; allowed: another name"):
        _method_field(name, {})


# Python's own reading of the methods that there are

THERE = [(room, name) for room, decorator in ROOMS.items() for name in declared(room, decorator)]


@pytest.mark.parametrize(("room", "name"), THERE, ids=lambda value: value)
def test_what_is_declared_is_what_is_called(room, name):
    """Imported, with annotations as Python has them: names, order, defaults, kinds, bounds, choices."""
    found = declared(room, ROOMS[room])[name]
    module = import_module(f"baldro.methods.{room}.{name.replace('-', '_')}")
    function = getattr(module, found.function)
    parameters = inspect.signature(function).parameters.values()
    own = {p.name: p for p in parameters if p.kind is p.KEYWORD_ONLY and p.name not in ("gamma", "lam", "epoch")}
    assert {key: p.default for key, p in own.items()} == {key: spec["default"] for key, spec in found.fields.items()}
    assert list(own) == list(found.fields)
    hints = get_type_hints(function, include_extras=True)
    for key, spec in found.fields.items():
        told = get_args(hints[key])
        if spec["kind"] is str:
            assert told == spec["choices"]
            continue
        assert (told[0] if told else hints[key]) is spec["kind"]
        words = {"at_least": ">=", "above": ">", "at_most": "<=", "below": "<"}
        written = sorted(f"{words[end]} {spec[end]:g}" for end in words if end in spec)
        assert written == sorted(part.strip() for part in told[1].split(",")) if told else not written
        assert spec["text"][0].isupper() and "\n" not in spec["text"]
    assert found.source and found.formula
    assert f"{PACKAGE / room / module.__name__.rsplit('.', 1)[1]}.py:" in found.place
    lines = inspect.getsource(module).splitlines()
    assert lines[int(found.place.rsplit(":", 1)[1]) - 1].startswith(f"def {found.function}(")


def test_the_methods_of_the_literature_are_there():
    assert set(OBJECTIVES) >= {
        *("npo", "simnpo", "satimp", "gradascent", "graddiff", "wga", "tnpo", "idkdpo", "altpo", "undial", "ceu", "pdu"),
        *("ihl", "rmu"),
    }  # fmt: skip
    assert set(VARIANTS) >= {"base", "baldro-g", "baldro-dv", "baldro-dv-learned", "chi2", "cvar", "topk"}
    assert set(COMBINERS) >= {"sum", "blur", "blur-upper", "blur-wmdp", "uno", "dual"}
    assert next(iter(VARIANTS)) == "base"


def test_every_decorator_takes_the_options_that_the_grid_knows():
    """Which are those of its signature; a made-up one fails on import, as it does here."""
    facts = {"fields", "declared", "unlearns", "trains", "tokens", "kind"}
    kinds = dict(objective=methods.Objective, variant=methods.Variant, combiner=methods.Combiner)
    for room, decorator in ROOMS.items():
        taken = inspect.signature(getattr(import_module(f"baldro.methods.{room}"), decorator)).parameters
        assert set(taken) == set(kinds[decorator].__dataclass_fields__) - facts
        assert [name for name, p in taken.items() if p.default is p.empty] == [
            name for name in ("label", "memory") if name in taken
        ]


def test_every_module_with_a_decorator_is_found():
    """A line that starts with it, searched for as text."""
    for room, decorator in ROOMS.items():
        files = sorted((PACKAGE / room).glob("*.py"))
        marked = {f.stem for f in files if re.search(rf"^@{decorator}\b", f.read_text(), re.MULTILINE)}
        assert {name.replace("-", "_") for name in declared(room, decorator)} == marked
