"""What the server does the ten-thousandth time: `python -m soak.cancelled_rpcs`."""
