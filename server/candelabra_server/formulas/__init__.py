"""The formula language: text to checked graph to columns."""
