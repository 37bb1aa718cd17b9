"""A notebook-style session: results as pandas frames, long and wide. Needs pandas: pip install pandas.

    python notebook.py                                 uses the server on this machine
    CANDELABRA_SERVER=host:50051 python notebook.py    uses another one

Editors such as VS Code, PyCharm and Spyder run it cell by cell; the cells begin with `# %%`.
"""

# %% Connect, and see what there is
import os

from candelabra_client import Client

client = Client(os.environ.get("CANDELABRA_SERVER", "127.0.0.1:50051"))
for stored in client.list_symbols(["AAPL", "IBM", "MSFT"]):
    print(f"{stored.symbol:6}{stored.timeframe:4}{stored.candle_count:8,} candles")

# %% One job; it runs when its frame is asked for first, and every further frame is made of the same results
job = client.process(
    ["AAPL", "IBM", "MSFT"],
    timeframe="1d",
    start="2012-01-01",
    end="2012-12-31",
    formula="price = close; daily = close / close[1] - 1; strength = rsi(close, 14)",
)

# %% The long form: one row a symbol and candle, made for groupby
frame = job.to_pandas()
print(frame.groupby("symbol", observed=True)["strength"].describe()[["count", "min", "mean", "max"]].round(4))

# %% The wide form of one column: one row a time, one column a symbol, made for arithmetic between symbols
prices = job.to_pandas(wide="price")
print((prices / prices.iloc[0]).resample("QE").last().round(4))

# %% All columns wide: pairs of column and symbol
wide = job.to_pandas(wide=True)
print(wide["daily"].corr().round(4))

# %% A plain mask picks the days: where was IBM weak while AAPL was strong?
weak = wide[(wide["strength", "IBM"] < 40) & (wide["strength", "AAPL"] > 60)]
print(f"{len(weak)} days, the last on {weak.index[-1]:%Y-%m-%d}")

# %% Done
client.close()
