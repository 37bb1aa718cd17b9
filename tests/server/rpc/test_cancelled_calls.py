"""Hundreds of calls that are cancelled in every way leave nothing behind. A short soak.

grpc trap 3: cancelled calls keep native memory (grpc/grpc#43360); `python -m soak.cancelled_rpcs` tells how much.
"""

from pathlib import Path

import pytest

from soak.cancelled_rpcs import soak
from soak.subjects import OurServer

CALLS = 300
MOST_BYTES_PER_CALL = 512 * 1024
"""Over so few calls, buffers that grow to what they need weigh more than all that is kept: ten thousand calls showed
75 MiB of them and then nothing more, which is 200 KiB for each of these.
"""


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="counts what a process holds as Linux shows it")
def test_cancelled_calls_leave_nothing_behind(tmp_path):
    finding = soak(OurServer(tmp_path), CALLS)
    assert finding.cancelled >= CALLS
    assert finding.after == finding.before
    assert finding.bytes_per_call < MOST_BYTES_PER_CALL
    assert finding.errors == ""
