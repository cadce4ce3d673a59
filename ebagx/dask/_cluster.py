"""A client of Dask as the driver uses it: tasks with names of their own, and lost results."""

import secrets
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from typing import Any

from distributed import Client, KilledWorker, default_client
from distributed.comm import CommClosedError

import dask

# Results that are lost with workers, data or a restart raise these: a round can be made again.
LOST = (CancelledError, KilledWorker, CommClosedError, OSError, TimeoutError)
MOST_ATTEMPTS = 5
_SECONDS_TO_ANSWER = 3.0


class SchedulerLostError(ConnectionError):
    """The scheduler does not answer; `fit` has kept the last model that the driver had."""


class Cluster:
    """Submit tasks to a cluster, near the results they need, under names that occur once.

    Parameters
    ----------
    client : distributed.Client
        The connection.
    """

    def __init__(self, client: Client) -> None:
        self.client = client
        self.num_tasks = 0
        self._name = secrets.token_hex(8)

    @property
    def num_workers(self) -> int:
        """Number of workers at present, at least 1."""
        return max(1, len(self.client.nthreads()))

    def submit(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run a function on a worker, which Dask chooses by the places of its arguments."""
        self.num_tasks += 1
        # The scheduler keeps times of tasks by the first word of their names.
        key = f"{function.__name__.strip('_')}-{self._name}-{self.num_tasks}"
        return self.client.submit(function, *args, key=key, pure=False)

    def gather(self, futures: Any) -> Any:
        """Return the results of futures in lists."""
        return self.client.gather(futures)

    def compute(self, function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> Any:
        """Return a function's results for some arguments, which may be tasks of collections."""
        tasks = [dask.delayed(function, pure=False)(*given) for given in arguments]
        return self.patiently(lambda: self.client.gather(self.client.compute(tasks, sync=False)))

    def patiently(self, function: Callable[[], Any]) -> Any:
        """Return the result of a function, which is called again if results are lost."""
        for attempt in range(MOST_ATTEMPTS):
            try:
                return function()
            except LOST as error:
                self.check(error)
                if attempt == MOST_ATTEMPTS - 1:
                    raise
        raise AssertionError

    def check(self, error: BaseException) -> None:
        """Raise SchedulerLostError, from an error, unless the scheduler answers."""
        deadline = time.monotonic() + _SECONDS_TO_ANSWER
        while time.monotonic() < deadline:
            if self.client.status == "running" and self._answers(deadline):
                return
            if self.client.status == "closed":
                break
            time.sleep(0.1)
        raise SchedulerLostError(
            "the scheduler of the cluster does not answer; connect a new client and fit again, "
            "with checkpoint= from the last round on"
        ) from error

    def _answers(self, deadline: float) -> bool:
        seconds = max(0.1, deadline - time.monotonic())
        try:
            self.client.sync(self.client.scheduler.identity, callback_timeout=seconds)
        except Exception:  # of many kinds: the answer is what counts
            return False
        return True


def client_of(client: Any) -> Client:
    """Return the client of an estimator, or the default one.

    A cluster without workers is warned of, as `fit` waits for the first one.

    Raises
    ------
    ValueError
        If there is none, or if it is asynchronous.
    ConnectionError
        If it is closed.
    """
    try:
        found: Client = default_client() if client is None else client
    except ValueError as error:
        raise ValueError(
            "client is None, and there is no default client: client = "
            "dask.distributed.Client() starts a cluster on this machine"
        ) from error
    if found.status in ("closed", "closing"):
        raise ConnectionError("client is closed: connect a new one")
    if found.asynchronous:
        raise ValueError("client must be a synchronous one: Client(address)")
    if not found.nthreads():
        warnings.warn("the cluster has no workers yet: fit waits", stacklevel=3)
    return found
