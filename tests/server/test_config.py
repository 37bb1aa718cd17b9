"""Settings are checked when they are made."""

from pathlib import Path

import pytest

from candelabra_server import config
from candelabra_server.config import ServerConfig, available_cpus
from candelabra_server.errors import ConfigurationError


@pytest.mark.parametrize(
    "listen", ["127.0.0.1:0", "127.8.9.1:50051", "localhost:50051", "[::1]:50051", "unix:/run/candelabra"]
)
def test_addresses_of_this_machine_need_no_permission(listen):
    assert ServerConfig(listen=listen, workers=1).listen == listen


@pytest.mark.parametrize("listen", ["0.0.0.0:50051", "[::]:50051", "10.0.0.1:1", "example.org:50051"])
def test_other_addresses_need_insecure_to_be_said(listen):
    with pytest.raises(ConfigurationError, match="--insecure"):
        ServerConfig(listen=listen, workers=1)
    assert ServerConfig(listen=listen, workers=1, insecure=True).insecure


@pytest.mark.parametrize(
    "listen", ["", "50051", ":50051", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:65536", "localhost:-1", "unix:", "::1:0"]
)
def test_what_is_no_address_is_refused(listen):
    with pytest.raises(ConfigurationError, match="not HOST:PORT"):
        ServerConfig(listen=listen, workers=1)


def test_the_other_values_are_checked(tmp_path):
    (tmp_path / "file").touch()
    for wrong in (
        {"workers": 0},
        {"workers": 1, "drain_seconds": -1},
        {"workers": 1, "store": tmp_path / "file"},
        {"workers": 1, "result_slot_mebibytes": 0},
        {"workers": 1, "job_buffer_mebibytes": 0},
    ):
        with pytest.raises(ConfigurationError):
            ServerConfig(**wrong)


@pytest.mark.parametrize(
    ("quota", "cpus"), [("max 100000", 8), ("150000 100000", 2), ("50000 100000", 1), ("nonsense", 8), (None, 8)]
)
def test_workers_respect_affinity_and_a_containers_quota(monkeypatch, tmp_path, quota, cpus):
    path = tmp_path / "cpu.max"
    if quota is not None:
        path.write_text(quota)
    monkeypatch.setattr(config, "_CGROUP_QUOTA", path)
    monkeypatch.setattr(config.os, "sched_getaffinity", lambda _pid: set(range(8)), raising=False)
    assert available_cpus() == cpus


def test_the_default_store_is_in_the_current_folder():
    assert ServerConfig(workers=1).store == Path("candelabra-data")
