"""The commands of `candelabra`; these modules need the `cli` extra (typer and rich).

- `app.py` puts the commands together; `process.py`, `screen.py`, `candles.py` and `server.py` hold one group each.
- `options.py` has the options that commands share, `inputs.py` reads what users type.
- `exits.py` is where errors turn into messages and exit statuses.
- `output.py` writes results in every format; `tables.py` lays them out for a terminal; `screen_output.py` and
  `screen_tables.py` do so for screens; `progress.py` shows how far a job or screen is; `plotting.py` draws results
  with the package's `_plots`.
"""
