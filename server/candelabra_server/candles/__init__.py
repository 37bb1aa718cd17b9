"""Where candles come from: the repository interface, the Arrow store, imports."""
