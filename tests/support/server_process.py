"""A server in a process of its own (waiting_server.py), as a user sees its life and its end."""

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import grpc

from candelabra.v1 import GetServerInfoRequest
from candelabra.v1.processing_pb2_grpc import ProcessingServiceStub
from support.jobs import job
from support.workers import run_until

TESTS = Path(__file__).resolve().parents[1]


@contextmanager
def server_process(marker, *, temporary=None, **settings):
    """Gives a server's process and a channel to it; its job on WAITS is done when the marker is there.

    `temporary` is its folder for temporary files, and the settings are those of ServerConfig.
    """
    settings = {"listen": "127.0.0.1:0", "drain_seconds": 3_600} | settings
    places = {} if temporary is None else {"TMPDIR": str(temporary)}
    process = subprocess.Popen(
        [sys.executable, "-m", "support.waiting_server", str(marker), json.dumps(settings)],
        env=os.environ | places | {"PYTHONPATH": str(TESTS)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        address = process.stdout.readline().strip()
        assert address, process.communicate(timeout=60)
        with grpc.insecure_channel(address) as channel:
            yield process, channel
    finally:
        process.kill()
        process.communicate(timeout=60)


@contextmanager
def waiting_server(marker, **settings):
    """The same with a job on it that waits for the marker; gives its call, too."""
    with server_process(marker, **settings) as (process, channel):
        stub = ProcessingServiceStub(channel)
        call = stub.Process(job("WAITS", "close"), timeout=90)
        run_until(lambda: stub.GetServerInfo(GetServerInfoRequest()).active_jobs == 1)
        yield process, channel, call


def takes_jobs(channel):
    """Whether a job on A is done, and not refused since the server stops."""
    try:
        return bool(list(ProcessingServiceStub(channel).Process(job("A", "close"), timeout=60)))
    except grpc.RpcError as error:
        if error.code() is not grpc.StatusCode.UNAVAILABLE:
            raise
        return False
