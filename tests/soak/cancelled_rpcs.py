"""Cancels calls and looks at what a server keeps of them: `python -m soak.cancelled_rpcs --count 10000`.

A third each: cancelled while they wait for work, during a blocked write, and by a deadline or a closed channel. Beside
ours, a server that is nothing but grpc.aio gets the same, since grpc itself keeps some memory of a cancelled call
(grpc/grpc#43360).
"""

import argparse
import asyncio
import sys
import tempfile
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import grpc

from soak.subjects import BareServer, OurServer, Subject
from support.waiting_server import say
from support.workers import run_until

AT_ONCE = 24
"""Calls of a kind that are open together."""
MEASURED_EVERY = 1_000
_WARM_ROUNDS = 3
_WAIT_SECONDS = 60.0
_DEADLINE_SECONDS = 0.2
_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.http2.bdp_probe", 0),  # which would widen the window until all results fit into it
    ("grpc.http2.lookahead_bytes", 65_536),
    ("grpc.use_local_subchannel_pool", 1),  # a channel that is closed shall close its connection
)


@dataclass
class Finding:
    """What a run showed.

    Attributes:
        cancelled: calls, those of the rounds before the first measurement excluded.
        before: what the server held after these rounds.
        after: what it held at the end.
        resident: calls cancelled so far, and the bytes that the server had then.
        errors: what it wrote to its terminal.
    """

    cancelled: int = 0
    before: dict[str, object] = field(default_factory=dict)
    after: dict[str, object] = field(default_factory=dict)
    resident: list[tuple[int, int]] = field(default_factory=list)
    errors: str = ""

    @property
    def bytes_per_call(self) -> float:
        """By how much the server's memory grew for each cancelled call, as a rule: the median over all measurements.

        Buffers that grow to what the largest round needs make steps of tens of MiB, and no rule.
        """
        return median(
            (size - size_before) / (calls - calls_before)
            for (calls_before, size_before), (calls, size) in pairwise(self.resident)
        )


def soak(subject: Subject, count: int) -> Finding:
    """Cancels calls of a server, at least so many, and waits until it holds what it held before."""
    finding = Finding()
    with subject.running():
        asyncio.run(_cancel(subject, count, finding))
        run_until(lambda: _settled(subject, finding))
    finding.errors = subject.errors
    return finding


def _settled(subject: Subject, finding: Finding) -> bool:
    finding.after = subject.resources()
    return finding.after == finding.before


async def _cancel(subject: Subject, count: int, finding: Finding) -> None:
    async with grpc.aio.insecure_channel(subject.address, options=_OPTIONS) as channel:
        for _ in range(_WARM_ROUNDS):
            await _round(subject, channel)
        finding.before = subject.resources()
        finding.resident.append((0, subject.resident_bytes()))
        while finding.cancelled < count:
            finding.cancelled += await _round(subject, channel)
            if finding.cancelled - finding.resident[-1][0] >= MEASURED_EVERY or finding.cancelled >= count:
                finding.resident.append((finding.cancelled, subject.resident_bytes()))


async def _round(subject: Subject, channel: grpc.aio.Channel) -> int:
    """Cancels some calls in every way; returns how many."""
    subject.hold()
    await _while_waiting(subject, channel)
    await _by_deadline(subject, channel)
    await _by_closing(subject, channel)
    subject.let_go()
    await _during_a_write(subject, channel)
    return 3 * AT_ONCE


async def _while_waiting(subject: Subject, channel: grpc.aio.Channel) -> None:
    calls = [_start(channel, subject.waits) for _ in range(AT_ONCE)]
    await _until(subject, channel, AT_ONCE)
    for call in calls:
        call.cancel()
    await _until(subject, channel, 0)


async def _during_a_write(subject: Subject, channel: grpc.aio.Channel) -> None:
    """Reads one message of each; the next is more than fits between server and client."""
    calls = [_start(channel, subject.writes) for _ in range(AT_ONCE)]
    for call in calls:
        assert await call.read()
    assert await subject.open_calls(channel) == AT_ONCE
    for call in calls:
        call.cancel()
    await _until(subject, channel, 0)


async def _by_deadline(subject: Subject, channel: grpc.aio.Channel) -> None:
    calls = [_start(channel, subject.waits, _DEADLINE_SECONDS) for _ in range(AT_ONCE // 2)]
    codes = {await call.code() for call in calls}
    assert codes == {grpc.StatusCode.DEADLINE_EXCEEDED}
    await _until(subject, channel, 0)


async def _by_closing(subject: Subject, channel: grpc.aio.Channel) -> None:
    async with grpc.aio.insecure_channel(subject.address, options=_OPTIONS) as other:
        calls = [_start(other, subject.waits) for _ in range(AT_ONCE - AT_ONCE // 2)]
        await _until(subject, channel, len(calls))
    await _until(subject, channel, 0)


def _start(channel: grpc.aio.Channel, what: tuple[str, bytes], seconds: float = _WAIT_SECONDS) -> Any:
    path, request = what
    method: Any = channel.unary_stream(path)
    return method(request, timeout=seconds)


async def _until(subject: Subject, channel: grpc.aio.Channel, calls: int) -> None:
    """Returns when the server works on so many calls."""
    async with asyncio.timeout(_WAIT_SECONDS):
        while await subject.open_calls(channel) != calls:
            await asyncio.sleep(0.002)


def main() -> int:
    """Soaks both servers and prints what they kept; 1 when ours kept anything but memory."""
    parser = argparse.ArgumentParser(prog="python -m soak.cancelled_rpcs")
    parser.add_argument("--count", type=int, default=10_000, help="calls to cancel, of each server")
    count = parser.parse_args().count
    is_well = True
    for make in (OurServer, BareServer):
        with tempfile.TemporaryDirectory() as folder:
            finding = soak(make(Path(folder)), count)
        say(f"{make.__name__}: {finding.cancelled:,} cancelled calls")
        for calls, size in finding.resident:
            say(f"  after {calls:6,}: {size / 2**20:7.1f} MiB")
        say(f"  {finding.bytes_per_call:,.0f} bytes kept for each (the median of the steps)")
        say("  all else as before" if finding.after == finding.before else f"  {finding.before} → {finding.after}")
        if finding.errors:
            say(f"  it said:\n{finding.errors}")
        is_well = is_well and finding.after == finding.before and not finding.errors
    return int(not is_well)


if __name__ == "__main__":
    sys.exit(main())
