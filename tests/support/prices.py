"""A reader's own candles: what Yahoo's download of half a year looks like."""

import datetime as dt


def write_prices(folder):
    """Writes `prices/NVDA.csv` into a folder."""
    day, close, rows = dt.date(2024, 1, 2), 48.0, ["Date,Open,High,Low,Close,Adj Close,Volume"]
    for number in range(180):
        if day.weekday() < 5:
            open_, close = close, round(close + (number * 7 % 11 - 4) * 0.25, 2)
            high, low = max(open_, close) + 0.5, min(open_, close) - 0.5
            rows.append(f"{day},{open_},{high},{low},{close},{close},{200_000_000 + number * 1_000_000}")
        day += dt.timedelta(days=1)
    (folder / "prices").mkdir()
    (folder / "prices/NVDA.csv").write_text("\n".join(rows) + "\n")
