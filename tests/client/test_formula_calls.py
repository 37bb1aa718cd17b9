"""Explaining, checking, listing and saving formulas with both clients, on a real server."""

import numpy as np
import pytest

from candelabra import v1
from candelabra_client import Aborted, AlreadyExists, InvalidRequest, NotFound, ProtocolError
from candelabra_client._exchange import listed_formulas


def test_a_job_is_explained_without_being_run(user, demo_address):
    found = user(demo_address).call(
        "explain", ["AAPL", "NOPE"], timeframe="day", formula="sma(close, n)", parameters={"n": 20}, last_n=5
    )
    assert (found.symbols_total, list(found.unknown_symbols), found.timeframe) == (2, ["NOPE"], "1d")
    assert found.formula.outputs[0].warm_up_candles == 19
    assert found.estimate.candles_read == 24
    assert found.estimate.result_rows == 5


def test_a_job_that_cannot_run_is_explained_too(user, demo_address):
    found = user(demo_address).call("explain", "AAPL", timeframe="1d", formula="smaa(close)", start="2012-02-30")
    assert [violation.field for violation in found.violations] == ["date_range.start"]
    assert [problem.suggestion for problem in found.formula_problems] == ["sma"]
    assert not found.HasField("formula")


def test_a_formula_is_checked(user, demo_address):
    good = user(demo_address).call("check_formula", "a = macd(close); b = close@1w", parameters={"x": 1})
    assert [output.name for output in good.formula.outputs] == ["a.macd", "a.signal", "a.hist", "b"]
    assert list(good.formula.warnings) == ["parameter `x` is not used by the formula"]
    wrong = user(demo_address).call("check_formula", "sma(close, days) + Ref($close, -1)")
    assert [problem.code for problem in wrong.problems] == ["UNKNOWN_NAME", "LOOKAHEAD"]
    assert list(wrong.missing_parameters) == ["days"]
    allowed = user(demo_address).call("check_formula", "Ref($close, -1)", allow_lookahead=True, timeframe="1h")
    assert allowed.formula.outputs[0].look_ahead_candles == 1
    built_in = user(demo_address).call("check_formula", formula_id="qlib/alpha158", compat="qlib")
    assert len(built_in.formula.outputs) == 158
    with pytest.raises(NotFound, match="did you mean `qlib/alpha158`"):
        user(demo_address).call("check_formula", formula_id="qlib/alpha15")


def test_functions_are_listed(user, demo_address):
    everything = user(demo_address).call("functions")
    assert len(everything) > 280
    (bands,) = user(demo_address).call("functions", "bbands")
    assert list(bands.outputs) == ["upper", "middle", "lower"]
    assert {function.family for function in user(demo_address).call("functions", family="Qlib")} == {"Qlib"}


def test_formulas_are_saved_changed_and_deleted(user, demo_address, request):
    identifier = f"test/{'plain' if 'Plain' in type(user(demo_address)).__name__ else 'asynchronous'}"
    call = user(demo_address).call
    draft = v1.SavedFormula(
        id=identifier,
        expression="sma(close, days)",
        parameters=[v1.ParameterDeclaration(name="days", default_value=3, minimum=2)],
    )
    first = call("create_formula", draft)
    assert (first.version, bool(first.etag), first.built_in) == (1, True, False)
    with pytest.raises(AlreadyExists):
        call("create_formula", draft)
    second = call("update_formula", v1.SavedFormula(id=identifier, expression="close", etag=first.etag))
    assert second.version == 2
    with pytest.raises(Aborted):
        call("update_formula", v1.SavedFormula(id=identifier, expression="open", etag=first.etag))
    assert call("get_formula", identifier) == second
    assert call("get_formula", f"{identifier}@1") == first
    assert [formula.id for formula in call("list_formulas", "test/*")] == [identifier]
    with pytest.raises(InvalidRequest) as caught:
        call("update_formula", v1.SavedFormula(id=identifier, expression="smaa(close)"))
    assert [violation.field for violation in caught.value.violations] == ["formula.expression"]
    pinned = user(demo_address).gather("AAPL", formula_id=f"{identifier}@1", parameters={"days": 2})
    plain = user(demo_address).gather("AAPL", formula="sma(close, 2)")
    np.testing.assert_array_equal(pinned["AAPL"]["value"], plain["AAPL"]["value"])
    assert pinned["AAPL"].info.columns["value"].nan_reasons == {"warm_up": 1}
    call("delete_formula", identifier, etag=second.etag)
    with pytest.raises(NotFound):
        call("get_formula", identifier)
    assert call("get_formula", f"{identifier}@2").expression == "close"


def test_fields_of_32_bits_and_qlibs_values_are_asked_for(user, demo_address):
    narrow = user(demo_address).gather("AAPL", formula="close", float32_fields=True)["AAPL"]["value"]
    wide = user(demo_address).gather("AAPL", formula="close")["AAPL"]["value"]
    np.testing.assert_array_equal(narrow, wide.astype(np.float32))
    qlib = user(demo_address).gather("AAPL", formula="WMA($close, 5)", compat="qlib")["AAPL"]["value"]
    right = user(demo_address).gather("AAPL", formula="WMA($close, 5)")["AAPL"]["value"]
    np.testing.assert_allclose(qlib[10:], right[10:] / 5, rtol=1e-12)


def test_a_list_that_does_not_go_on_is_a_broken_contract():
    exchange = listed_formulas("")
    next(exchange)
    page = v1.ListFormulasResponse(next_page_token="again").SerializeToString()
    exchange.send(page)
    with pytest.raises(ProtocolError, match="the same page token twice"):
        exchange.send(page)
