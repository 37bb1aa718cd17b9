"""What formulas are made of: the pieces, the calls of every function, and the texts that fuzzing starts from."""

import re
from pathlib import Path
from random import Random

from candelabra_server.formulas.builtins import BUILTIN_FORMULAS
from candelabra_server.formulas.catalogue import CROSS_SECTIONAL, FUNCTIONS, KNOWN_FIELDS, Function, SettingKind
from candelabra_server.formulas.catalogue.function import SettingParameter
from fuzz.attempts import PARAMETERS, SAVED

_REPOSITORY = Path(__file__).resolve().parents[2]
_DOCUMENTS = ("README.md", "server/docs/formulas.md")
_FENCED = re.compile(r"^```formula\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"`([^`\n]+)`")
_BUILTIN_STATEMENTS = 40

WINDOWS = ("1", "2", "3", "5", "14", "60", "100000", "fast", "fast * 2")
ODD_NUMBERS = (
    "0", "-1", "-3", "0.5", "1e-300", "5e-324", "1e308", "1e999", "100001", "2147483648", "9" * 30, "nan", "half",
    "none", "huge", "0/0", "1/0", "-0.0", "9^9^9",
)  # fmt: skip
FIELDS = (*KNOWN_FIELDS, "$close", "$spread", "$nothing")
SYMBOLS = ('"SPY"', "'BRK/B'", '""', '"ТЕСТ"', f'"{"x" * 65}"')
TIMEFRAMES = ("1w", "1M", "2d", "1d", "1h", "4h", "3M", "99999M", "60m", "1s", "0d", "7x")
CONDITIONS = ("close > open", "cross_over(close, open)", "1", "not na(close)", "close < high & open > low")
OPERATORS = (
    "+", "-", "*", "/", "%", "^", "**", "<", "<=", ">", ">=", "==", "!=", " and ", " or ", "&", "|", "=", ",", ".",
    ";", "\n", "not ", "(", ")", "[", "]", "@", "$", "#", "'", '"', "!", "~", "?",
)  # fmt: skip
OUTPUTS = tuple(sorted({output for function in FUNCTIONS.values() for output in function.outputs if output}))
SAVED_CALLS = (
    "@trend(3)", "@trend(days=3, scale=2)@1w", "@desk/bands().m.hist", "@desk/bands().up", "@narrow()", "@grows(1)",
    "@loop()", "@wrong()", "@qlib/alpha158().KMID",
)  # fmt: skip
REFERENCES = tuple(f"@{reference}" for reference in (*SAVED, "trend@1", "trend@9", "none", "Trend"))
NAMES = (*FUNCTIONS, *CROSS_SECTIONAL, *KNOWN_FIELDS, *PARAMETERS, "a", "b", "_c", "days", "nan", "P", "If", "value")
_FUNCTIONS = tuple(FUNCTIONS.values())
_TEXTS = {SettingKind.SYMBOL: SYMBOLS, SettingKind.TIMEFRAME: tuple(f'"{timeframe}"' for timeframe in TIMEFRAMES)}


def expression(random: Random, depth: int = 2) -> str:
    """A series that is mostly right, of calls and operators within one another."""
    if depth <= 0:
        return random.choice(FIELDS[:-1])
    form = random.choice(("call", "call", "call", "arithmetic", "choice", "history", "longer", "other", "saved"))
    below = expression(random, depth - 1)
    match form:
        case "call":
            return call(random.choice(_FUNCTIONS), random, depth - 1)
        case "arithmetic":
            return f"({below} {random.choice('+-*/%^')} {expression(random, depth - 1)})"
        case "choice":
            return f"if({condition(random, depth - 1)}, {below}, {random.choice((*WINDOWS, 'nan'))})"
        case "history":
            return f"({below})[{random.choice(WINDOWS)}]"
        case "longer":
            return f"({below})@{random.choice(TIMEFRAMES)}"
        case "other":
            return f"ChangeInstrument({random.choice(SYMBOLS)}, {below})"
    return random.choice(SAVED_CALLS)


def condition(random: Random, depth: int = 1) -> str:
    """A signal that is mostly right."""
    if depth <= 0:
        return random.choice(CONDITIONS)
    first, second = expression(random, depth - 1), expression(random, depth - 1)
    return random.choice(
        (
            f"({first} {random.choice(('<', '<=', '>', '>=', '==', '!='))} {second})",
            f"not {condition(random, depth - 1)}",
            f"({condition(random, depth - 1)} {random.choice(('and', 'or'))} {condition(random, depth - 1)})",
            f"cross_over({first}, {second})",
            f"na({first})",
        )
    )


def call(function: Function, random: Random, depth: int = 0, *, plain: bool = False) -> str:
    """A call of a function as its signature says; with odd arguments now and then, unless it is to be plain."""
    inputs = [] if function.implied and random.random() < 0.7 else function.inputs
    series = [condition(random, depth) if name in function.conditions else expression(random, depth) for name in inputs]
    settings = [setting for setting in function.settings if setting.default is None or plain or random.random() < 0.7]
    # Behind one that is left out, settings go by name.
    names = [setting.name for setting in settings]
    by_position = plain or names == [setting.name for setting in function.settings[: len(names)]]
    constants = [
        _setting(setting, random, plain=plain) if by_position else f"{setting.name}={_setting(setting, random)}"
        for setting in settings
    ]
    text = f"{function.name}({', '.join(constants + series if function.settings_first else series + constants)})"
    if function.outputs != ("",) and random.random() < 0.9:
        return f"{text}.{random.choice(function.outputs)}"
    return f"{text}.close" if function.name == "symbol" else text


def seeds() -> list[str]:
    """Texts to begin with: a call of every function, the documents' examples, statements of built-in formulas."""
    random = Random(0)
    calls = [call(function, random, plain=True) for function in _FUNCTIONS]
    examples = []
    for name in _DOCUMENTS:
        document = (_REPOSITORY / name).read_text()
        examples += _FENCED.findall(document) + _CODE.findall(document)
    statements = [
        statement
        for formula in BUILTIN_FORMULAS.values()
        for statement in formula.expression.splitlines()[:_BUILTIN_STATEMENTS]
    ]
    return list(dict.fromkeys([*calls, *examples, *statements, *SAVED_CALLS]))


def pieces() -> list[str]:
    """Every piece that a text may be put together from."""
    timeframes = [f"@{timeframe}" for timeframe in TIMEFRAMES]
    members = [f".{output}" for output in OUTPUTS]
    lists = (NAMES, FIELDS, WINDOWS, ODD_NUMBERS, SYMBOLS, timeframes, OPERATORS, members, REFERENCES, CONDITIONS)
    return list(dict.fromkeys(piece for pieces_of_a_kind in lists for piece in pieces_of_a_kind))


def _setting(setting: SettingParameter, random: Random, *, plain: bool = False) -> str:
    if setting.choices:
        return f'"{random.choice(setting.choices)}"'
    if setting.kind in _TEXTS:
        return _TEXTS[setting.kind][0] if plain or random.random() < 0.7 else random.choice(_TEXTS[setting.kind])
    if not plain and random.random() < 0.1:
        return random.choice(ODD_NUMBERS)
    if setting.default is not None and random.random() < 0.4:
        return str(setting.default)
    return "3" if plain else random.choice(WINDOWS)
