"""The `candelabra-server` command's entry point.

Workers import the main module again when they start, so this file imports nothing at module level.
"""

__all__ = ["main"]


def main() -> None:
    """Runs the command; exits with 0 all well, 1 failed, 2 wrong usage."""
    from candelabra_server.commands import run  # noqa: PLC0415

    run()


if __name__ == "__main__":
    main()
