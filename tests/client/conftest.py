import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from candelabra_client import AsyncClient, Client, JobResults, RetryPolicy, ScreenBatch, ScreenResult, SymbolResult
from support.command import serving_command


@pytest.fixture
def fast_retry() -> RetryPolicy:
    """A policy whose waits a test does not notice."""
    return RetryPolicy(initial_backoff_seconds=0.01, max_backoff_seconds=0.02)


@dataclass(frozen=True)
class PlainUser:
    """Uses a `Client` the way ordinary code does."""

    address: str
    options: dict[str, Any]

    def call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        with Client(self.address, **self.options) as client:
            return getattr(client, method)(*args, **kwargs)

    def iterate(self, symbols: Any, *, stop_after: int | None = None, **kwargs: Any) -> list[SymbolResult]:
        """Results of a job, one by one; leaves the loop after so many, before the job or client is closed."""
        with Client(self.address, **self.options) as client:
            results = []
            job = client.process(symbols, **{"timeframe": "1d", **kwargs})
            for result in job:
                results.append(result)
                if len(results) == stop_after:
                    break
            return results

    def gather(self, symbols: Any, **kwargs: Any) -> JobResults:
        with Client(self.address, **self.options) as client:
            return client.process(symbols, **{"timeframe": "1d", **kwargs}).results()

    def screen(self, *, stop_after: int | None = None, **kwargs: Any) -> list[ScreenBatch]:
        """Batches of a screen, one by one; leaves the loop after so many, before the screen or client is closed."""
        with Client(self.address, **self.options) as client:
            batches = []
            screen = client.screen(**{"formula": "close", "timeframe": "1d", **kwargs})
            for batch in screen:
                batches.append(batch)
                if len(batches) == stop_after:
                    break
            return batches

    def screened(self, **kwargs: Any) -> ScreenResult:
        with Client(self.address, **self.options) as client:
            return client.screen(**{"formula": "close", "timeframe": "1d", **kwargs}).results()

    def with_job(self, symbols: Any, use: Callable[[Any], None]) -> list[SymbolResult]:
        """Results of a job for each of which `use` is called with the job."""
        with Client(self.address, **self.options) as client:
            results = []
            for result in (job := client.process(symbols, timeframe="1d")):
                results.append(result)
                use(job)
            return results


@dataclass(frozen=True)
class AsyncUser:
    """Does the same with an `AsyncClient`."""

    address: str
    options: dict[str, Any]

    def call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        async def run() -> Any:
            async with AsyncClient(self.address, **self.options) as client:
                return await getattr(client, method)(*args, **kwargs)

        return asyncio.run(run())

    def iterate(self, symbols: Any, *, stop_after: int | None = None, **kwargs: Any) -> list[SymbolResult]:
        async def run() -> list[SymbolResult]:
            async with AsyncClient(self.address, **self.options) as client:
                results = []
                job = client.process(symbols, **{"timeframe": "1d", **kwargs})
                async for result in job:
                    results.append(result)
                    if len(results) == stop_after:
                        break
                return results

        return asyncio.run(run())

    def gather(self, symbols: Any, **kwargs: Any) -> JobResults:
        async def run() -> JobResults:
            async with AsyncClient(self.address, **self.options) as client:
                return await client.process(symbols, **{"timeframe": "1d", **kwargs}).results()

        return asyncio.run(run())

    def screen(self, *, stop_after: int | None = None, **kwargs: Any) -> list[ScreenBatch]:
        async def run() -> list[ScreenBatch]:
            async with AsyncClient(self.address, **self.options) as client:
                batches = []
                screen = client.screen(**{"formula": "close", "timeframe": "1d", **kwargs})
                async for batch in screen:
                    batches.append(batch)
                    if len(batches) == stop_after:
                        break
                return batches

        return asyncio.run(run())

    def screened(self, **kwargs: Any) -> ScreenResult:
        async def run() -> ScreenResult:
            async with AsyncClient(self.address, **self.options) as client:
                return await client.screen(**{"formula": "close", "timeframe": "1d", **kwargs}).results()

        return asyncio.run(run())

    def with_job(self, symbols: Any, use: Callable[[Any], None]) -> list[SymbolResult]:
        async def run() -> list[SymbolResult]:
            async with AsyncClient(self.address, **self.options) as client:
                results = []
                async for result in (job := client.process(symbols, timeframe="1d")):
                    results.append(result)
                    use(job)
                return results

        return asyncio.run(run())


@pytest.fixture(params=[PlainUser, AsyncUser], ids=["Client", "AsyncClient"])
def user(request: pytest.FixtureRequest, fast_retry: RetryPolicy) -> Callable[..., PlainUser | AsyncUser]:
    """One suite for both clients: `user(address)` uses the one or the other."""

    def make(address: str, **options: Any) -> PlainUser | AsyncUser:
        kind: type[PlainUser | AsyncUser] = request.param
        return kind(address, {"retry": fast_retry, **options})

    return make


@pytest.fixture(scope="session")
def demo_address(demo_store):
    """A real server over the demo candles."""
    with serving_command("--store", str(demo_store), "--workers", "2") as server:
        yield server.address
