"""Suggestions: the name that was most likely meant."""

import pytest

from candelabra_server.formulas.problems import closest_name, quoted

NAMES = ("sma", "ema", "Mean", "Max", "close", "volume", "macd", "cross_over", "cross_under", "if")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("smaa", "sma"),
        ("sam", "sma"),
        ("SMA", "sma"),
        ("Maen", "Mean"),
        ("mean", "Mean"),
        ("MAX", "Max"),
        ("clsoe", "close"),
        ("volumne", "volume"),
        ("crossover", "cross_over"),
        ("crossunder", "cross_under"),
        ("mcad", "macd"),
        ("x", None),
        ("bollinger", None),
        ("", None),
        ("s" * 41, None),
    ],
)
def test_the_closest_name_is_suggested_where_one_is_close(name, meant):
    assert closest_name(name, NAMES) == meant


def test_a_spelling_in_another_case_is_closer_than_any_edit():
    assert closest_name("EMA", ("EMAX", "ema", "EMB")) == "ema"


def test_a_very_long_name_is_cut_where_it_is_shown():
    assert quoted("a" * 50) == f"`{'a' * 40}…`"
