"""Where chunks of work run: executors behind the concurrent.futures seam."""
