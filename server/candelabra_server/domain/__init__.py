"""Values without input or output: date ranges, timeframes, candles."""
