"""Asks Qlib for the values of every expression and writes them to a file; make_qlib_reference.py runs it.

Everything is asked twice. The second time the fields are held in 64 bits after they are read, and everything else of
Qlib is as before: how far the two answers are apart is what Qlib's own arithmetic in 32 bits does to an expression,
and it is all that a reader has to allow beyond the rounding of the answer itself.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import qlib  # type: ignore[import-not-found]  # only in the environment that make_qlib_reference.py makes
from bokeh_sampledata import stocks
from qlib.constant import REG_US  # type: ignore[import-not-found]
from qlib.contrib.data.loader import Alpha158DL, Alpha360DL  # type: ignore[import-not-found]
from qlib.contrib.ops.high_freq import FFillNan, IsInf, IsNull  # type: ignore[import-not-found]
from qlib.data import D  # type: ignore[import-not-found]
from qlib.data.cache import H  # type: ignore[import-not-found]
from qlib.data.storage.file_storage import FileFeatureStorage  # type: ignore[import-not-found]

from reference.qlib_expressions import LATE, OPERATORS, OTHER_SYMBOL

ROWS = 320
LATE_ROW = 200
"""Where the range of the group "late" begins."""
FIELDS = ("open", "high", "low", "close", "volume", "vwap")
GAPS = "GAPS"
"""Apple's candles with holes, a stretch in which the price stands still, and days without trade."""
HOLES = {
    "close": [*range(3), 100, *range(140, 147), 230],
    "high": [120],
    "low": [126, 127],
    "volume": [*range(50, 53), *range(140, 143), 260],
}
FLAT = slice(200, 228)
NO_TRADE = slice(180, 182)
HEAD_AND_TAIL = (*range(5), *range(ROWS - 40, ROWS))
FEW = (0, 1, 58, 59, 60, 150, 185, 235, ROWS - 2, ROWS - 1)

Column = npt.NDArray[np.float32]
Fields = Mapping[str, Column]


@dataclass(frozen=True, kw_only=True)
class Group:
    """What is asked at once.

    Attributes:
        expressions: in Qlib's spelling.
        names: of the columns, where they have any.
        symbols: whose values are asked for.
        rows: those that are kept.
        start: the first row asked for.
    """

    expressions: Sequence[str]
    names: Sequence[str] = ()
    symbols: Sequence[str]
    rows: Sequence[int] = range(ROWS)
    start: int = 0


def main() -> None:
    """Writes the file that the command line names."""
    days, candles = _candles()
    arrays: dict[str, Any] = {
        "days": days.astype("datetime64[D]"),
        "fields": np.array(FIELDS),
        "symbols": np.array(list(candles)),
        "candles": np.array([[fields[name] for name in FIELDS] for fields in candles.values()]),
        "late_row": np.array(LATE_ROW),
    }
    groups = _groups()
    with tempfile.TemporaryDirectory() as folder:
        _write_provider(Path(folder), days, candles)
        qlib.init(
            provider_uri=folder,
            region=REG_US,
            kernels=1,
            joblib_backend="sequential",
            expression_cache=None,
            dataset_cache=None,
            custom_ops=[FFillNan, IsInf, IsNull],
        )
        for key, group in groups.items():
            values = _ask(group, days)
            with _fields_in_64_bits():
                exact = _ask(group, days)
            arrays |= {
                f"{key}.expressions": np.array(group.expressions),
                f"{key}.names": np.array(group.names, dtype=np.str_),
                f"{key}.symbols": np.array(group.symbols),
                f"{key}.rows": np.array(group.rows, dtype=np.int16),
                f"{key}.values": values,
                f"{key}.rounding": _rounding(values, exact),
            }
    np.savez_compressed(sys.argv[1], **arrays)


def _candles() -> tuple[npt.NDArray[Any], dict[str, Fields]]:
    """The days, and the candles of each symbol."""
    apple, days = _stored(stocks.AAPL)
    ibm, _ = _stored(stocks.IBM)
    gaps = {name: column.copy() for name, column in apple.items()}
    gaps["close"][FLAT] = gaps["close"][FLAT.start]
    gaps["volume"][NO_TRADE] = 0
    for name, rows in HOLES.items():
        gaps[name][rows] = np.nan
    symbols = {"AAPL": apple, "IBM": ibm, GAPS: gaps}
    for fields in symbols.values():
        fields["vwap"] = (fields["high"] + fields["low"] + fields["close"]) / np.float32(3)
    return days, dict(symbols)


def _stored(stock: Any) -> tuple[dict[str, Column], npt.NDArray[Any]]:
    fields = {name: np.array(stock[name][-ROWS:], dtype=np.float32) for name in FIELDS if name in stock}
    return fields, np.array(stock["date"][-ROWS:])


def _write_provider(folder: Path, days: npt.NDArray[Any], candles: Mapping[str, Fields]) -> None:
    """Qlib's own format: text files of days and symbols, and a file of 32-bit numbers a field, the first row first."""
    for name in ("calendars", "instruments"):
        (folder / name).mkdir()
    (folder / "calendars" / "day.txt").write_text("".join(f"{day}\n" for day in days))
    (folder / "instruments" / "all.txt").write_text("".join(f"{symbol}\t{days[0]}\t{days[-1]}\n" for symbol in candles))
    for symbol, fields in candles.items():
        target = folder / "features" / symbol.lower()
        target.mkdir(parents=True)
        for name, column in fields.items():
            np.concatenate(([0], column)).astype("<f4").tofile(target / f"{name}.day.bin")


def _groups() -> dict[str, Group]:
    expressions_158, names_158 = Alpha158DL.get_feature_config()
    expressions_360, names_360 = Alpha360DL.get_feature_config()
    return {
        "operators": Group(expressions=OPERATORS, symbols=("AAPL", GAPS)),
        "alpha158": Group(expressions=expressions_158, names=names_158, symbols=("AAPL", "IBM"), rows=HEAD_AND_TAIL),
        "alpha158_gaps": Group(expressions=expressions_158, names=names_158, symbols=(GAPS,)),
        "alpha360": Group(expressions=expressions_360, names=names_360, symbols=("AAPL", "IBM", GAPS), rows=FEW),
        "late": Group(expressions=LATE, symbols=("AAPL", GAPS), rows=range(LATE_ROW, ROWS), start=LATE_ROW),
        "other_symbol": Group(expressions=OTHER_SYMBOL, symbols=("AAPL",)),
    }


def _ask(group: Group, days: npt.NDArray[Any]) -> Column:
    """Qlib's values: symbol, expression, row."""
    H.clear()
    answer = D.features(
        list(group.symbols),
        list(group.expressions),
        start_time=str(days[group.start]),
        end_time=str(days[-1]),
        disk_cache=0,
    )
    wanted = days[list(group.rows)].astype("datetime64[ns]")
    values = np.array([answer.loc[symbol].reindex(wanted).to_numpy().T for symbol in group.symbols])
    if values.dtype != np.float32:
        raise TypeError(f"Qlib gave values of type {values.dtype}")
    return values


@contextmanager
def _fields_in_64_bits() -> Iterator[None]:
    read = FileFeatureStorage.__getitem__
    FileFeatureStorage.__getitem__ = lambda storage, place: read(storage, place).astype(np.float64)
    try:
        yield
    finally:
        FileFeatureStorage.__getitem__ = read


def _rounding(values: Column, exact: Column) -> Column:
    """How far apart two answers are; 0 where both are missing or infinite."""
    if (np.isnan(values) != np.isnan(exact)).any():
        raise ValueError("a value is missing in 32 bits that is there in 64, or the other way round")
    with np.errstate(invalid="ignore"):
        apart = np.abs(values - exact)
    rounding: Column = np.nan_to_num(apart, posinf=np.inf)
    return rounding


if __name__ == "__main__":
    main()
