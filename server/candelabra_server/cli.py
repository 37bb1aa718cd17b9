"""The `candelabra-server` command's entry point.

Workers import the main module again when they start, so this file imports nothing at module level.
"""

__all__ = ["main"]


def main() -> None:
    """Runs the command; exits with 0 all well, 1 failed, 2 wrong usage or an extra that is not installed."""
    import sys  # noqa: PLC0415

    try:
        from candelabra_server.commands import run  # noqa: PLC0415

        run()
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in _extra_libraries():
            raise
        sys.stderr.write(f"candelabra-server: {error.name} is not installed: pip install 'candelabra[server]'\n")
        sys.exit(2)


def _extra_libraries() -> set[str]:
    return {"grpc_health", "grpc_reflection", "lark", "platformdirs", "pyarrow", "rich", "talib", "typer"}


if __name__ == "__main__":
    main()
