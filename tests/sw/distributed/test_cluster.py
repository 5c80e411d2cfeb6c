"""Work on a Ray cluster: results, workers that die, what is refused."""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from helpers.running.ray_cluster import local_cluster

from fineq.common.errors import FineqError
from fineq.distributed import cluster as cluster_module
from fineq.distributed.cluster import connected

CODE = "fineq.common.errors"


@pytest.fixture(scope="module")
def local():
    with local_cluster() as cluster:
        yield cluster


def test_work_is_done_whoever_dies(local, tmp_path):
    """One cluster for all of it: starting takes longer than the work."""

    def square(common, number):
        import os
        import signal

        from fineq.common.errors import FineqError

        mark = tmp_path / f"seen-{number}"
        if number in common["kills"] and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if number == common.get("refuses"):
            raise FineqError("17 is not\nfor us")
        return number * number, os.getpid()

    class Adder:
        def __init__(self, common):
            import os

            self.common, self.process = common, os.getpid()

        def add(self, key, further):
            import os
            import signal

            mark = tmp_path / f"added-{key}"
            if key == 3 and not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return key + further + self.common, self.process

    with connected(local.address, CODE) as cluster:
        assert cluster.processors == 2
        found = dict(cluster.map(square, {"kills": (3, 8)}, [(number,) for number in range(12)]))
        assert {number: value for number, (value, _) in found.items()} == {n: n * n for n in range(12)}
        assert len({process for _, process in found.values()}) >= 2
        assert (tmp_path / "seen-3").exists() and (tmp_path / "seen-8").exists()

        with pytest.raises(FineqError, match=rf"^{socket.gethostname()}: 17 is not\\nfor us$"):
            list(cluster.map(square, {"kills": (), "refuses": 5}, [(number,) for number in range(12)]))

        crew = cluster.crew(Adder, 100)
        assert len(crew) == 2
        thousand = crew.share(1000)
        results = list(crew.each("add", [(key, thousand) for key in range(6)]))
        assert [value for value, _ in results] == [1100 + key for key in range(6)]
        assert len(crew) == 1
        again = list(crew.each("add", [(key, 0) for key in range(6)]))
        assert len({process for _, process in again}) == 1
        crew.end()


def test_a_worker_with_other_code_is_refused(local, monkeypatch):
    with connected(local.address, CODE) as cluster:
        cluster.key = "0" * 24
        message = r"has no FineQ of this version \(there [0-9a-f]{8}, here 00000000\): install the same on all machines"
        with pytest.raises(FineqError, match=message):
            list(cluster.map(print, None, [(1,)]))
        with pytest.raises(FineqError, match=message):
            list(cluster.crew(print, None).each("add", [(1,)]))
    with connected(local.address, CODE) as cluster:
        cluster.modules = ("fineq.not_there_yet",)
        with pytest.raises(FineqError, match="has no FineQ of this version .*no source of module"):
            list(cluster.map(print, None, [(1,)]))


def test_work_that_kills_its_workers_ends(local, monkeypatch):
    monkeypatch.setattr(cluster_module, "LIVES", 1)

    def kill(common):
        os.kill(os.getpid(), signal.SIGKILL)

    with connected(local.address, CODE) as cluster:
        with pytest.raises(FineqError, match="died again and again at the same piece of work: look into Ray's logs"):
            list(cluster.map(kill, None, [()]))


@pytest.mark.parametrize(
    "address, said",
    [
        ("", "is '': give HOST:PORT, such as"),
        ("somewhere", "is 'somewhere': give HOST:PORT, such as"),
        ("somewhere:0", "give HOST:PORT"),
        (
            "ray://somewhere:10001",
            "is 'ray://somewhere:10001': give HOST:PORT or auto, and run the command on a machine",
        ),
        ("127.0.0.1:1", "cannot reach a Ray cluster at 127.0.0.1:1: Connection refused; start one with `ray start"),
        ("nowhere.invalid:6379", "cannot reach a Ray cluster at nowhere.invalid:6379: "),
    ],
)
def test_what_is_no_cluster(address, said):
    pytest.importorskip("ray", reason="ray is not installed: pip install 'fineq[ray]'")
    with pytest.raises(FineqError, match=said), connected(address, CODE):
        pass


def test_something_that_does_not_answer(monkeypatch):
    pytest.importorskip("ray", reason="ray is not installed: pip install 'fineq[ray]'")
    monkeypatch.setattr(cluster_module, "REACH_SECONDS", 2.0)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        began = time.monotonic()
        with pytest.raises(FineqError, match="no answer in 2 seconds"):
            with connected(f"127.0.0.1:{other.getsockname()[1]}", CODE):
                pass
    assert time.monotonic() - began < 10


def test_without_ray(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(FineqError, match=r"^--ray needs the package ray: pip install 'fineq\[ray\]'$"):
        with connected("auto", CODE):
            pass


def test_ray_is_loaded_when_a_cluster_is_joined():
    code = "import sys, fineq.distributed.cluster; print('ray' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"
