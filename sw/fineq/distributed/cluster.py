"""Work on the machines of a Ray cluster. This is the only place that knows Ray.

    with connected("HOST:6379", __name__) as cluster:
        for number, result in cluster.map(function, common, calls):
            ...

A function and what it takes are unpacked only where the code that both sides name is the same; a worker that dies has
its work done by another. Errors for the user come back as they are, with the name of the machine.
"""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from fineq.common.cache_keys import cache_key
from fineq.common.errors import FineqError

REACH_SECONDS = 20.0
"""That a cluster has to answer: without a limit Ray tries for two minutes, and then ends the process."""

PORT_SECONDS = 5.0
"""That its port has to open."""

START_SECONDS = 120.0
"""That the crew of a cluster has to start: Python and torch from a cold disk."""

LIVES = 5
"""How often a piece of work is begun again when the worker died that had it: it may be the one that kills them."""

LOOK_SECONDS = 5.0
"""Between two looks whether there are still machines."""

Answer = tuple[str, Any, str]
"""What a worker says: `done` and the result, `refused` and an error for the user, or `other` and how its code differs;
and the name of its machine."""

Result = TypeVar("Result")


@contextmanager
def connected(address: str, *modules: str) -> Iterator[Cluster]:
    """Join a cluster; inside, its machines work.

    Args:
        address: HOST:PORT of its head, or `auto`: the one that this machine belongs to.
        modules: whose code, with all that it imports, must be the same on all machines.

    Raises:
        FineqError: Ray is not installed; no cluster answers; it has other versions of Ray or Python.
    """
    try:
        import ray
    except ImportError as error:
        raise FineqError("--ray needs the package ray: pip install 'fineq[ray]'") from error
    _reach(address)
    key = cache_key(*modules)
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, configure_logging=True)
    except Exception as error:  # of many kinds, none of which is documented
        raise FineqError(f"cannot join the Ray cluster at {address}: {_sentence(error)}") from error
    try:
        cluster = Cluster(address, modules, key)
        if cluster.processors < 1:
            raise FineqError(f"the Ray cluster at {address} has no processors: add machines with `ray start`")
        yield cluster
    finally:
        ray.shutdown()


def _reach(address: str) -> None:
    """Raise if no cluster answers."""
    if "://" in address:
        raise FineqError(
            f"--ray is {address!r}: give HOST:PORT or auto, and run the command on a machine of the cluster"
        )
    command = [sys.executable, "-m", "ray.scripts.scripts", "health-check"]
    if address != "auto":
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise FineqError(f"--ray is {address!r}: give HOST:PORT, such as 10.0.0.1:6379, or auto")
        try:
            socket.create_connection((host.strip("[]"), int(port)), PORT_SECONDS).close()
        except OSError as error:
            raise _unreachable(address, error.strerror or str(error)) from None
        command += ["--address", address]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=REACH_SECONDS)
    except subprocess.TimeoutExpired:
        raise _unreachable(address, f"no answer in {REACH_SECONDS:.0f} seconds") from None
    if found.returncode:
        raise _unreachable(address, "no Ray cluster there" if address != "auto" else "this machine belongs to none")


def _unreachable(address: str, why: str) -> FineqError:
    return FineqError(
        f"cannot reach a Ray cluster at {address}: {why}; start one with `ray start --head` and give its HOST:PORT"
    )


def _sentence(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


class Cluster:
    """A cluster that this process has joined; made by `connected`."""

    def __init__(self, address: str, modules: Sequence[str], key: str):
        self.address, self.modules, self.key = address, tuple(modules), key

    @property
    def processors(self) -> int:
        """Of all machines, as Ray counts them."""
        import ray

        return int(ray.cluster_resources().get("CPU", 0))

    def map(
        self, function: Callable[..., Result], common: Any, calls: Sequence[tuple[Any, ...]]
    ) -> Iterator[tuple[int, Result]]:
        """Do `function(common, *call)` for all calls, one on a processor.

        Args:
            function: of a module, so that a worker finds it by its name; it may be begun again.
            common: sent once.

        Returns:
            The number of each call and its result, as they end.

        Raises:
            FineqError: as raised by the function, with the machine; a worker has other code, or none of this project;
                the workers of one call died `LIVES` times; there is no machine left.
        """
        import ray
        from ray import cloudpickle
        from ray.exceptions import RayError

        payload = ray.put(cloudpickle.dumps((function, common)))
        remote = ray.remote(_task(self.modules, self.key)).options(num_cpus=1, max_retries=LIVES)
        waiting = deque(range(len(calls)))
        running: dict[Any, int] = {}
        while waiting or running:
            while waiting and len(running) < 2 * max(self.processors, 1):
                number = waiting.popleft()
                running[remote.remote(payload, cloudpickle.dumps(calls[number]))] = number
            for reference in self._ended(list(running)):
                number = running.pop(reference)
                try:
                    answer = ray.get(reference)
                except RayError as error:
                    raise _lost(error) from error
                yield number, self.result(answer)

    def crew(self, make: Callable[[Any], Any], common: Any) -> Crew:
        """One worker a machine, each with the object that `make(common)` gives.

        Raises:
            FineqError: a worker has other code; none could be started.
        """
        return Crew(self, make, common)

    def result(self, answer: Answer) -> Any:
        """What a worker's answer holds.

        Raises:
            FineqError: it holds an error.
        """
        kind, value, host = answer
        if kind == "other":
            raise FineqError(f"{host} has no FineQ of this version ({value}): install the same on all machines")
        if kind == "refused":
            raise FineqError(f"{host}: {value}")
        return value

    def _ended(self, references: list[Any]) -> list[Any]:
        """Those that have ended, at least one."""
        import ray

        while True:
            ended, _ = ray.wait(references, num_returns=1, timeout=LOOK_SECONDS)
            if ended:
                return ended
            if self.processors < 1:
                raise FineqError(
                    f"the Ray cluster at {self.address} has no machine left that works: add one with `ray start`, and "
                    "go on as after an interruption"
                )


class Crew:
    """One worker a machine, which keeps what it has; made by `Cluster.crew`.

    The n-th call of any list goes to the same worker as long as all live. What a worker had that dies must be in the
    arguments of a call or in files: another goes on.
    """

    def __init__(self, cluster: Cluster, make: Callable[[Any], Any], common: Any):
        import ray
        from ray import cloudpickle
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self._cluster = cluster
        actor: Any = ray.remote(_actor(cluster.modules, cluster.key))
        payload = ray.put(cloudpickle.dumps((make, common)))
        workers: list[Any] = []
        for node in ray.nodes():
            processors = int(node["Resources"].get("CPU", 0)) if node["Alive"] else 0
            if processors:
                place = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
                workers.append(actor.options(num_cpus=processors, scheduling_strategy=place).remote(payload))
        asked = [worker.call.remote(None) for worker in workers]
        ready, late = ray.wait(asked, num_returns=len(asked), timeout=START_SECONDS)
        self._workers: list[Any] = []
        for reference, worker in zip(asked, workers, strict=True):
            if reference in late:
                ray.kill(worker)
            elif self._answer(reference) is not None:
                self._workers.append(worker)
        if not self._workers:
            raise FineqError(
                f"no machine of the Ray cluster at {cluster.address} is free: each needs all of its processors"
            )

    def __len__(self) -> int:
        return len(self._workers)

    def share(self, value: Any) -> Any:
        """A reference, which a call takes in the place of the value: sent once."""
        import ray

        return ray.put(value)

    def each(self, method: str, calls: Sequence[tuple[Any, ...]]) -> Iterator[Any]:
        """`object.method(*call)` for all calls; the results in their order.

        Raises:
            FineqError: as the method does, with the machine; the workers of one call died `LIVES` times; none is left.
        """
        import ray

        waiting = deque(range(len(calls)))
        running: deque[tuple[int, Any, Any]] = deque()  # number of the call, worker, reference
        deaths = 0
        while waiting or running:
            while waiting and len(running) < 2 * len(self._workers):
                number = waiting.popleft()
                worker = self._workers[number % len(self._workers)]
                running.append((number, worker, worker.call.remote(method, *calls[number])))
            _, worker, reference = running[0]
            answer = self._answer(reference)
            if answer is not None:
                running.popleft()
                deaths = 0
                yield self._cluster.result(answer)
                continue
            deaths += 1
            ray.kill(worker)  # if it only did not answer
            self._workers = [other for other in self._workers if other is not worker]
            if not self._workers or deaths > LIVES:
                raise _lost(None)
            for again, _, _ in reversed(running):  # calls have other workers now; what is under way is dropped
                waiting.appendleft(again)
            running.clear()

    def _answer(self, reference: Any) -> Any:
        """None: the worker is dead."""
        import ray
        from ray.exceptions import ActorDiedError, ActorUnavailableError, ObjectLostError, OutOfMemoryError, RayError

        try:
            return ray.get(reference)
        except (ActorDiedError, ActorUnavailableError, ObjectLostError, OutOfMemoryError):
            return None
        except RayError as error:
            raise _lost(error) from error

    def end(self) -> None:
        """The workers are not needed any more."""
        import ray

        for worker in self._workers:
            ray.kill(worker)
        self._workers = []


def _lost(error: BaseException | None) -> FineqError:
    from ray.exceptions import RayTaskError

    if isinstance(error, RayTaskError):
        raise error  # a defect of the project: with its traceback
    return FineqError(
        "the workers of the Ray cluster died again and again at the same piece of work: look into Ray's logs there, "
        "perhaps for too little memory, and go on as after an interruption"
    )


# -- on the workers: functions inside functions travel with their code, everything else of the project by its name ---


def _task(modules: tuple[str, ...], key: str) -> Callable[[bytes, bytes], Answer]:
    opened = _opener(modules, key)

    def task(payload: bytes, call: bytes) -> Answer:
        import pickle

        other, host = opened()
        if other:
            return "other", other, host
        from fineq.common.errors import UserError

        function, common = pickle.loads(payload)
        try:
            return "done", function(common, *pickle.loads(call)), host
        except UserError as error:
            return "refused", str(error), host

    return task


def _actor(modules: tuple[str, ...], key: str) -> type:
    opened = _opener(modules, key)

    class Worker:
        def __init__(self, payload: bytes):
            import pickle

            self.other, self.host = opened()
            self.failed = None
            if self.other:
                return
            from fineq.common.errors import UserError

            make, common = pickle.loads(payload)
            try:
                self.object = make(common)
            except UserError as error:
                self.failed = str(error)

        def call(self, method: str | None, *arguments: Any) -> Answer:
            if self.other or self.failed:
                return ("other", self.other, self.host) if self.other else ("refused", self.failed, self.host)
            from fineq.common.errors import UserError

            try:
                return "done", method and getattr(self.object, method)(*arguments), self.host
            except UserError as error:
                return "refused", str(error), self.host

    return Worker


def _opener(modules: tuple[str, ...], key: str) -> Callable[[], tuple[str, str]]:
    def opened() -> tuple[str, str]:
        """What is different here, empty if nothing is, and the name of the machine."""
        import socket

        host = socket.gethostname()
        try:
            from fineq.common.cache_keys import cache_key

            own = cache_key(*modules)
        except Exception as error:
            return f"there: {type(error).__name__} {error}", host
        return ("" if own == key else f"there {own[:8]}, here {key[:8]}"), host

    return opened
