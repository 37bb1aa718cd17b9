"""Three-valued logic: the truth tables of the language, exhaustively, on columns and on constants."""

import itertools
import math
import operator

import numpy as np
import pytest

from candelabra_server.domain.candles import Candles
from candelabra_server.formulas.catalogue import FUNCTIONS
from candelabra_server.formulas.kernels import elementwise

TRUE, FALSE, UNKNOWN = 1.0, 0.0, math.nan
LOGIC = (TRUE, FALSE, UNKNOWN)
# What a number means where a signal is wanted.
MEANINGS = (
    *((number, TRUE) for number in (1.0, -2.5, 5e-324, math.inf, -math.inf)),
    *((number, FALSE) for number in (0.0, -0.0)),
    (UNKNOWN, UNKNOWN),
)
AND = {
    (TRUE, TRUE): TRUE,
    (TRUE, FALSE): FALSE,
    (TRUE, UNKNOWN): UNKNOWN,
    (FALSE, TRUE): FALSE,
    (FALSE, FALSE): FALSE,
    (FALSE, UNKNOWN): FALSE,
    (UNKNOWN, TRUE): UNKNOWN,
    (UNKNOWN, FALSE): FALSE,
    (UNKNOWN, UNKNOWN): UNKNOWN,
}
OR = {
    (TRUE, TRUE): TRUE,
    (TRUE, FALSE): TRUE,
    (TRUE, UNKNOWN): TRUE,
    (FALSE, TRUE): TRUE,
    (FALSE, FALSE): FALSE,
    (FALSE, UNKNOWN): UNKNOWN,
    (UNKNOWN, TRUE): TRUE,
    (UNKNOWN, FALSE): UNKNOWN,
    (UNKNOWN, UNKNOWN): UNKNOWN,
}
NOT = {TRUE: FALSE, FALSE: TRUE, UNKNOWN: UNKNOWN}
TABLES = {"and": AND, "or": OR}
KERNELS = {"and": elementwise.logical_and, "or": elementwise.logical_or}
COMPARISONS = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
COMPARED = (-math.inf, -1.5, -0.0, 0.0, 2.0, math.inf, math.nan)


def compared(name: str, left: float, right: float) -> float:
    known = not math.isnan(left) and not math.isnan(right)
    return float(COMPARISONS[name](left, right)) if known else UNKNOWN


def column(service, text: str, **fields) -> np.ndarray:
    columns = {name: np.array(values, dtype=np.float64) for name, values in fields.items()}
    rows = max((len(values) for values in columns.values()), default=1)
    candles = Candles(symbol="X", open_time_micros=np.arange(rows, dtype=np.int64), fields=columns)
    return service.compile(text, parameters={}).evaluate(candles)[0]


def written(value: float) -> str:
    return f"({value!r})"


@pytest.mark.parametrize("name", TABLES)
def test_and_and_or_are_known_exactly_where_the_unknown_side_cannot_matter(name):
    decide = {"and": all, "or": any}[name]
    for sides, result in TABLES[name].items():
        worlds = itertools.product(*(LOGIC[:2] if math.isnan(side) else [side] for side in sides))
        outcomes = {float(decide(world)) for world in worlds}
        np.testing.assert_equal(result, outcomes.pop() if len(outcomes) == 1 else UNKNOWN)


@pytest.mark.parametrize("name", TABLES)
def test_and_and_or_of_columns_follow_their_table(service, name):
    left, right = zip(*TABLES[name], strict=True)
    result = column(service, f"($left == 1) {name} ($right == 1)", left=left, right=right)
    np.testing.assert_array_equal(result, list(TABLES[name].values()))


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("sides", AND, ids=str)
def test_and_and_or_of_a_column_and_a_constant_and_of_two_constants_follow_their_table(service, name, sides):
    left, right = sides
    expected = [TABLES[name][sides]]
    for text in (
        f"($left == 1) {name} {written(right)}",
        f"{written(left)} {name} ($right == 1)",
        f"{written(left)} {name} {written(right)}",
    ):
        np.testing.assert_array_equal(column(service, text, left=[left], right=[right]), expected)


@pytest.mark.parametrize("name", TABLES)
def test_any_number_but_nought_stands_for_true(name):
    for (left, left_meaning), (right, right_meaning) in itertools.product(MEANINGS, MEANINGS):
        result = KERNELS[name](np.array([left]), np.array([right]))
        expected = [value for sides, value in TABLES[name].items() if same(sides, (left_meaning, right_meaning))]
        np.testing.assert_array_equal(result, expected)


def test_not_follows_its_table(service):
    np.testing.assert_array_equal(column(service, "not ($left == 1)", left=list(NOT)), list(NOT.values()))
    for number, meaning in MEANINGS:
        (expected,) = (value for side, value in NOT.items() if same((side,), (meaning,)))
        np.testing.assert_array_equal(elementwise.logical_not(np.array([number])), [expected])
        np.testing.assert_array_equal(column(service, f"not {written(meaning)}"), [expected])


def test_a_combination_of_all_three_follows_the_tables_on_every_triple(service):
    triples = list(itertools.product(LOGIC, repeat=3))
    first, second, third = (list(values) for values in zip(*triples, strict=True))
    result = column(
        service,
        "($a == 1) and ($b == 1) or not ($c == 1) and ($a == 1)",
        a=first,
        b=second,
        c=third,
    )
    expected = [look(OR, look(AND, a, b), look(AND, look_not(c), a)) for a, b, c in triples]
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("name", COMPARISONS)
def test_a_comparison_is_unknown_where_either_side_is_missing(service, name):
    pairs = list(itertools.product(COMPARED, COMPARED))
    left, right = (list(values) for values in zip(*pairs, strict=True))
    expected = [compared(name, *pair) for pair in pairs]
    np.testing.assert_array_equal(column(service, f"$left {name} $right", left=left, right=right), expected)
    for (first, second), value in zip(pairs, expected, strict=True):
        if math.isinf(first) or math.isinf(second):  # there are no such constants
            continue
        text = f"{written(first)} {name} {written(second)}"
        np.testing.assert_array_equal(column(service, text), [value], err_msg=text)


def test_a_chain_of_comparisons_is_known_to_be_false_where_one_link_is_false(service):
    triples = list(itertools.product((0.0, 1.0, 2.0, UNKNOWN), repeat=3))
    low, middle, high = (list(values) for values in zip(*triples, strict=True))
    expected = [look(AND, compared("<", a, b), compared("<=", b, c)) for a, b, c in triples]
    result = column(service, "$low < $middle <= $high", low=low, middle=middle, high=high)
    np.testing.assert_array_equal(result, expected)
    assert column(service, "2 < 1 < $missing", missing=[UNKNOWN]).tolist() == [0.0]


def test_if_takes_the_branch_of_a_known_condition_only_whatever_is_in_the_other(service):
    cases = list(itertools.product(LOGIC, (7.0, UNKNOWN), (8.0, UNKNOWN)))
    condition, then, otherwise = (list(values) for values in zip(*cases, strict=True))
    expected = [UNKNOWN if math.isnan(c) else t if c else o for c, t, o in cases]
    fields = {"c": condition, "t": then, "o": otherwise}
    np.testing.assert_array_equal(column(service, "if($c == 1, $t, $o)", **fields), expected)
    for (c, t, o), value in zip(cases, expected, strict=True):
        np.testing.assert_array_equal(column(service, f"if({written(c)}, {written(t)}, {written(o)})"), [value])


def test_if_takes_any_number_but_nought_for_true():
    for number, meaning in MEANINGS:
        result = elementwise.choose(np.array([number]), np.array([7.0]), np.array([8.0]))
        np.testing.assert_array_equal(result, [UNKNOWN if math.isnan(meaning) else 7.0 if meaning else 8.0])


def test_a_condition_holds_only_where_it_is_known_to_be_true():
    numbers, meanings = (np.array(values) for values in zip(*MEANINGS, strict=True))
    assert elementwise.is_true(numbers).tolist() == [meaning == TRUE for meaning in meanings]
    np.testing.assert_array_equal(elementwise.signal_or_zero(np.array(LOGIC)), [TRUE, FALSE, FALSE])


CONSUMERS = sorted(name for name, function in FUNCTIONS.items() if function.conditions and name != "if")


def test_there_are_functions_that_consume_a_condition():
    assert {"bars_since", "count_if", "streak", "value_when"} <= set(CONSUMERS)


@pytest.mark.parametrize("name", CONSUMERS)
def test_a_function_that_consumes_a_condition_takes_unknown_for_false(service, name):
    function = FUNCTIONS[name]
    inputs = ["$c == 1" if given in function.conditions else "$x" for given in function.inputs]
    settings = ["3" for setting in function.settings if setting.default is None]
    text = f"{name}({', '.join(inputs + settings)})"
    condition = list(itertools.chain.from_iterable(itertools.product(LOGIC, repeat=4)))
    x = np.arange(len(condition), dtype=np.float64)
    unknown, false = (
        column(service, text, c=values, x=x) for values in (condition, np.nan_to_num(condition, nan=FALSE))
    )
    assert unknown.tobytes() == false.tobytes()
    assert len(set(unknown[~np.isnan(unknown)])) > 1


def same(first: tuple[float, ...], second: tuple[float, ...]) -> bool:
    """Equal, where unknown equals itself: two NaN need not be the same object."""
    return all(a == b or (math.isnan(a) and math.isnan(b)) for a, b in zip(first, second, strict=True))


def look(table: dict[tuple[float, float], float], left: float, right: float) -> float:
    return next(value for sides, value in table.items() if same(sides, (left, right)))


def look_not(value: float) -> float:
    return UNKNOWN if math.isnan(value) else 1 - value
