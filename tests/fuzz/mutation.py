"""Changes to a text that know what it is made of: names, numbers, calls, brackets and statements stay whole."""

import re
from collections.abc import Callable, Sequence
from random import Random

from candelabra_server.formulas.catalogue import FUNCTIONS
from fuzz import vocabulary

_PIECE = re.compile(
    r"\"[^\"\n]*\"|'[^'\n]*'|@?[A-Za-z_$][\w$/]*|[0-9.]+(?:[eE][+-]?[0-9]+)?|\*\*|[<>=!]=|\s+|.", re.DOTALL
)
_NAME = re.compile(r"[A-Za-z_$]")
_NUMBER = re.compile(r"[0-9.]")
_LONGEST_RUN = 12
_MOST_REPETITIONS = 40
_SHARE_OF_ROUGH = 0.25
_FUNCTIONS = tuple(FUNCTIONS.values())
_PIECES = tuple(vocabulary.pieces())
_SEEDS = tuple(vocabulary.seeds())

_Pieces = list[str]


def mutated(text: str, random: Random) -> str:
    """The text with one to three changes, which mostly leave a formula a formula."""
    changes = _ROUGH if random.random() < _SHARE_OF_ROUGH else _CAREFUL
    parts = _PIECE.findall(text)
    for _ in range(random.randint(1, 3)):
        parts = random.choice(changes)(parts, random)
    return "".join(parts)


def _replace(parts: _Pieces, random: Random) -> _Pieces:
    """A name becomes another name, a number another number, an operator another operator."""
    if not parts:
        return _insert(parts, random)
    place = random.randrange(len(parts))
    kinds: Sequence[str] = vocabulary.OPERATORS
    if _NAME.match(parts[place]):
        kinds = vocabulary.NAMES + vocabulary.FIELDS
    elif _NUMBER.match(parts[place]):
        kinds = vocabulary.WINDOWS + vocabulary.ODD_NUMBERS
    return [*parts[:place], random.choice(kinds), *parts[place + 1 :]]


def _insert(parts: _Pieces, random: Random) -> _Pieces:
    place = random.randint(0, len(parts))
    return [*parts[:place], random.choice(_PIECES), *parts[place:]]


def _delete(parts: _Pieces, random: Random) -> _Pieces:
    start = random.randint(0, len(parts))
    return parts[:start] + parts[start + random.randint(1, _LONGEST_RUN) :]


def _repeat(parts: _Pieces, random: Random) -> _Pieces:
    start = random.randint(0, len(parts))
    end = start + random.randint(1, _LONGEST_RUN)
    times = random.choice((2, 3, random.randint(2, _MOST_REPETITIONS)))
    return parts[:start] + parts[start:end] * times + parts[end:]


def _grow(parts: _Pieces, random: Random) -> _Pieces:
    """An operand gives way to an expression, or to a whole other text."""
    start, end = _operand(parts, random)
    made = random.choice(_SEEDS) if random.random() < 0.2 else vocabulary.expression(random, random.randint(0, 3))
    return [*parts[:start], *_PIECE.findall(made), *parts[end:]]


def _move(parts: _Pieces, random: Random) -> _Pieces:
    """An operand gives way to another operand of the text."""
    start, end = _operand(parts, random)
    other, other_end = _operand(parts, random)
    return parts[:start] + parts[other:other_end] + parts[end:]


def _wrap(parts: _Pieces, random: Random) -> _Pieces:
    """Something stands around an operand."""
    start, end = _operand(parts, random)
    function = random.choice(_FUNCTIONS)
    before, after = random.choice(
        (
            ("(", ")"),
            ("not ", ""),
            ("-", ""),
            ("(", f")[{random.choice(vocabulary.WINDOWS + vocabulary.ODD_NUMBERS)}]"),
            ("(", f")@{random.choice(vocabulary.TIMEFRAMES)}"),
            ("", f" {random.choice('+-*/%^<&|')} {vocabulary.expression(random, 1)}"),
            ("", f" and {vocabulary.condition(random)}"),
            (f"{function.name}(", ")"),
            (f"{function.name}(", f", {random.choice(vocabulary.WINDOWS)})"),
            (f"ChangeInstrument({random.choice(vocabulary.SYMBOLS)}, ", ")"),
            (f"{random.choice(vocabulary.REFERENCES)}(", ")"),
            ("if(", ", close, nan)"),
        )
    )
    return [*parts[:start], before, *parts[start:end], after, *parts[end:]]


def _add_statement(parts: _Pieces, random: Random) -> _Pieces:
    """What is there gets a name, and another statement uses it."""
    body = list(parts) if "=" in parts else ["a0 = ", *parts]
    last = next((name for name, sign in zip(parts[-2::-1], parts[::-1], strict=False) if sign == "="), "a0")
    use = random.choice((last, f"{last}@{random.choice(vocabulary.TIMEFRAMES)}", f"sma({last}, 3)", f"{last}[1]"))
    name = random.choice("abcdefgh") + str(random.randrange(100))
    return [*body, random.choice(("\n", ";")), name, "=", use, "+", vocabulary.expression(random, 1)]


def _operand(parts: _Pieces, random: Random) -> tuple[int, int]:
    """Where a name, a number or a call begins and ends; a name before a bracket takes all up to its end along."""
    places = [place for place, part in enumerate(parts) if _NAME.match(part) or _NUMBER.match(part)]
    if not places:
        return len(parts), len(parts)
    start = end = random.choice(places)
    depth = 0
    for place in range(start + 1, len(parts)):
        depth += (parts[place] == "(") - (parts[place] == ")")
        if depth <= 0:
            end = place if depth == 0 and parts[place] == ")" else end
            break
    return start, end + 1


_Change = Callable[[_Pieces, Random], _Pieces]
_ROUGH: tuple[_Change, ...] = (_replace, _insert, _delete, _repeat, _grow, _wrap)
_CAREFUL: tuple[_Change, ...] = (_grow, _move, _wrap, _add_statement)
