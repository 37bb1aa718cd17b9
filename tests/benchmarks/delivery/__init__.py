"""The delivery suite: how fast results reach a client, beside bare transports and other pools (suite.py)."""
