"""What a server does the ten-thousandth time, and what it keeps of it: `make soak`.

`python -m soak.cancelled_rpcs`, `soak.worker_deaths` and `soak.overload` are its parts.
"""
