"""The driver of a training: rounds as transactions, and the choice of the model that is kept.

The driver has a copy of the model of some earlier round. If results are lost, it makes the data's
tasks again and the rounds since then, which gives the same bits. Copies take about a thirtieth of
the time; they also end the chain of tasks that the scheduler remembers, and would make again if a
worker is lost. With a checkpoint, the blocks are in files, and each round is such a copy.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from ebagx._training.loop import History, Plan, is_stuck
from ebagx._training.network import Layer
from ebagx.dask._calendar import Calendar
from ebagx.dask._checkpoint import Checkpoint, Record
from ebagx.dask._cluster import LOST, MOST_ATTEMPTS, Cluster, SchedulerLostError
from ebagx.dask._data import num_bags_of
from ebagx.dask._round import Block, Recipe
from ebagx.dask._rounds import Layout, Model, Rounds
from ebagx.dask._shards import Part

_TASKS_PER_COPY = 2000
_BYTES_PER_SECOND = 2e8  # of the first copy; the time of later ones is known
_TIME_PER_COPY = 30.0  # times the seconds that the last copy took, and that until it was back


class Copy(NamedTuple):
    """The model before a round, in the memory of the driver or in files."""

    number: int  # of the round
    blocks: list[Any]
    layers: list[Block]

    def __repr__(self) -> str:
        return f"Copy(round {self.number})"


class Job(NamedTuple):
    """A training: the parts that the estimator decides."""

    shards: Callable[[], Sequence[Any]]  # it makes the tasks of the data
    layers: Sequence[Layer]
    layout: Layout
    recipe: Callable[[Sequence[int]], Recipe]  # from the sizes of the shards
    plan: Plan  # its `score` is not used
    scorer: Callable[[Part, Any], tuple[float, float]] | None  # score and weight of a part

    def __repr__(self) -> str:
        return f"Job({self.layout})"


@dataclass
class Outcome:
    """The end of a training."""

    history: History = field(default_factory=History)
    copy: Copy | None = None  # the model that is kept
    failure: SchedulerLostError | None = None


class Training:
    """Rounds of a job on a cluster.

    Parameters
    ----------
    cluster : Cluster
        The workers.
    job : Job
        The training.
    checkpoint : Checkpoint, optional
        Where blocks are kept.
    """

    def __init__(self, cluster: Cluster, job: Job, checkpoint: Checkpoint | None) -> None:
        self._cluster, self._job, self._checkpoint = cluster, job, checkpoint
        self._rounds: Rounds | None = None
        self._model: Model | None = None
        self._ahead: tuple[Model, Any] | None = None  # the next round, which runs already
        self._number = 0
        self._losses: list[float] = []  # of rounds
        self._scores: list[float] = []  # of passes
        self._last: Copy | None = None  # the latest copy
        self._of_pass: Copy | None = None  # the latest one between passes
        self._best: Copy | None = None
        self._failures = self._furthest = 0
        self._copied_at, self._tasks_at_copy = time.monotonic(), 0
        self._copy_seconds = job.layout.num_rows * job.layout.dim * 8 / _BYTES_PER_SECOND
        self._sizes: list[int] = []

    def run(self) -> Outcome:
        """Make rounds until there are enough, the loss diverges, or Ctrl-C."""
        outcome = Outcome()
        history = outcome.history
        self._cluster.patiently(self._build)
        self._resume()
        try:
            self._run_to_the_end(history)
            if self._best is None or history.diverged:
                self._reach(self._number)
        except KeyboardInterrupt:
            history.interrupted = True
            self._copy_what_is_there()
        except SchedulerLostError as error:
            outcome.failure = error
            self._forget_after(self._last)
        self._note(history)
        outcome.copy = self._best if self._best is not None else self._last
        if outcome.failure is None and self._checkpoint is not None and outcome.copy is not None:
            self._commit(is_finished=not history.interrupted)
        return outcome

    def _copy_what_is_there(self) -> None:
        """Copy the model of the last complete round, after Ctrl-C."""
        self._ahead = None
        try:
            if self._model is not None and self._best is None:
                self._make_copy()
        except LOST:
            pass
        self._forget_after(self._last)

    def _forget_after(self, copy: Copy | None) -> None:
        """Forget the losses and scores of rounds whose model is lost."""
        number = 0 if copy is None else copy.number
        del self._losses[number:]
        del self._scores[self._calendar.place(number).epoch :]

    def _run_to_the_end(self, history: History) -> None:
        plan = self._job.plan
        self._note(history)
        if len(history.scores) < len(history.losses):  # a resumed fit ended between the two
            self._attempt(self._rate)
            self._note(history)
        while len(history.losses) < plan.max_iter and not is_stuck(history, plan):
            started, first = time.monotonic(), self._number
            self._attempt(self._play)
            if not math.isfinite(self._losses[-1]):
                history.diverged = True
                self._return_to_the_last_pass()
                return
            if self._is_between_passes(self._number):
                self._attempt(self._rate)
                self._note(history)
                self._report(history, (time.monotonic() - started) / (self._number - first))

    def _attempt(self, step: Callable[[], None]) -> None:
        """Make a step; if results are lost, go back to the last copy and make it again."""
        number = self._number
        while True:
            try:
                if self._rounds is None:
                    self._build()
                while self._number < number:  # rounds that were lost
                    self._play()
                step()
            except LOST as error:
                self._recover(error)
            else:
                if self._number > self._furthest:
                    self._furthest, self._failures = self._number, 0
                return

    def _recover(self, error: BaseException) -> None:
        self._cluster.check(error)
        self._failures += 1
        if self._failures > MOST_ATTEMPTS:
            raise error
        self._rounds = self._model = self._ahead = None

    def _build(self) -> None:
        """Make the tasks of the data, and go back to the last copy of the model."""
        cluster, job = self._cluster, self._job
        futures = cluster.client.compute(list(job.shards()), sync=False)
        sizes = cluster.gather(
            [cluster.submit(num_bags_of, shard) for k, shard in enumerate(futures)]
        )
        if not sum(sizes):
            raise ValueError("X and y must have at least one row of a weight above 0, got none")
        self._sizes = sizes
        recipe = job.recipe(sizes)
        folder = None if self._checkpoint is None else self._checkpoint.folder_of
        self._rounds = Rounds(cluster.submit, futures, job.layout, recipe, folder)
        self._steps = self._calendar.steps(sizes, recipe.batch_size, job.plan.max_iter)
        self._go_back()

    def _go_back(self) -> None:
        """Begin with the last copy again, or with the first model."""
        assert self._rounds is not None
        self._ahead = None
        if self._last is None:
            self._number = 0
            self._model = self._rounds.start(self._job.layers)
        else:
            self._number = self._last.number
            self._model = self._placed(self._last)
        del self._losses[self._number :]
        self._tasks_at_copy = self._cluster.num_tasks

    def _placed(self, copy: Copy) -> Model:
        """Return a copy as results on workers; names of files need none."""
        rounds, scatter = self._rounds, self._cluster.client.scatter
        assert rounds is not None
        return rounds.placed(copy.blocks, copy.layers, lambda values: scatter(values, hash=False))

    def _present(self) -> tuple[Rounds, Model]:
        """Return the tasks of the data and the present model, which `_build` makes."""
        assert self._rounds is not None
        assert self._model is not None
        return self._rounds, self._model

    def _play(self) -> None:
        """Make the next round, which may run already."""
        ahead, self._ahead = self._ahead, None
        model, losses = ahead or self._started(self._number)
        makes_copy = self._copy_is_due()
        if not makes_copy:
            self._run_ahead(model)
        total = float(np.sum(self._cluster.gather(losses)))
        self._model, self._number = model, self._number + 1
        self._losses.append(total)
        if math.isfinite(total) and makes_copy:
            started = time.monotonic()
            self._make_copy()
            self._model = self._placed(self._last_copy)
            self._copied_at = time.monotonic()
            self._copy_seconds = self._copied_at - started

    def _started(self, number: int, before: Model | None = None) -> tuple[Model, Any]:
        """Start a round, from the present model or one that is still being made."""
        rounds, model = self._present()
        num_steps = sum(self._steps[:number])
        # Early stopping may end after any pass; then all passes follow the same rule.
        is_last = self._job.scorer is None and number + 1 == len(self._steps)
        return rounds.play(model if before is None else before, number, num_steps, is_last)

    def _run_ahead(self, model: Model) -> None:
        """Start the round after the present one, so that no worker waits for the driver.

        With early stopping, the model may first have to be rated.
        """
        following = self._number + 1
        if self._job.scorer is None and following < len(self._steps):
            self._ahead = self._started(following, model)

    @property
    def _calendar(self) -> Calendar:
        return self._job.layout.calendar

    def _is_between_passes(self, number: int) -> bool:
        """Return whether a round, which may be the next one, is the first of a pass."""
        return self._calendar.place(number).part == 0

    @property
    def _last_copy(self) -> Copy:
        assert self._last is not None
        return self._last

    def _copy_is_due(self) -> bool:
        """Return whether the model after the next round shall be copied."""
        if self._checkpoint is not None:
            return True
        tasks = self._cluster.num_tasks - self._tasks_at_copy
        seconds = time.monotonic() - self._copied_at
        return tasks > _TASKS_PER_COPY or seconds > _TIME_PER_COPY * self._copy_seconds

    def _make_copy(self) -> None:
        """Copy the present model to the driver, or make that of the files the last one."""
        assert self._model is not None
        results = self._cluster.gather([self._model.blocks, self._model.layers])
        self._last = Copy(self._number, *Model(*results).contents)
        if self._is_between_passes(self._number):
            self._of_pass = self._last
        if self._checkpoint is not None:
            self._commit()
        self._copied_at = time.monotonic()
        self._tasks_at_copy = self._cluster.num_tasks

    def _reach(self, number: int) -> None:
        """Let the last copy be that before a round."""
        if self._last is None or self._last.number != number:
            self._number = number
            self._attempt(self._make_copy)

    def _return_to_the_last_pass(self) -> None:
        """Let the last copy be the model before the pass that has diverged."""
        number = self._calendar.start_of(self._calendar.place(self._number - 1).epoch)
        self._last = self._of_pass
        self._rounds = self._model = self._ahead = None
        self._number = number
        if number:
            self._reach(number)
        del self._losses[number:]

    def _rate(self) -> None:
        """Rate the model after a pass on held-out examples, and copy it if it is the best."""
        if self._job.scorer is None:
            return
        rounds, model = self._present()
        rates = self._cluster.gather(rounds.rate(model, self._job.scorer))
        found = [rate for rate in rates if rate is not None]
        if not found:
            raise ValueError("early_stopping needs a shard with at least 2 rows")
        scores, weights = zip(*found, strict=True)
        score = float(np.average(scores, weights=weights))
        if not self._scores or score > max(self._scores):
            self._make_copy()
            self._best = self._last
        self._scores.append(score)
        if self._checkpoint is not None:
            self._commit()

    def _note(self, history: History) -> None:
        """Set losses and scores of the complete passes."""
        passes = self._calendar.place(len(self._losses)).epoch
        ends = pairwise(map(self._calendar.start_of, range(passes + 1)))
        sums = [sum(self._losses[start:stop]) for start, stop in ends]
        history.losses[:] = [total / max(sum(self._sizes), 1) for total in sums]
        history.scores[:] = self._scores
        best = passes if self._best is None else self._calendar.place(self._best.number).epoch
        history.best_iter = best

    def _report(self, history: History, seconds_per_round: float) -> None:
        if not self._job.plan.verbose:
            return
        made, plan = len(history.losses), self._job.plan
        left = (self._calendar.start_of(plan.max_iter) - self._number) * seconds_per_round
        score = f", score {history.scores[-1]:.4f}" if history.scores else ""
        print(
            f"pass {made} of {plan.max_iter}, round {self._number}: loss {history.losses[-1]:.4f}"
            f"{score}, {seconds_per_round:.2f} s a round, {left:.0f} s left",
            flush=True,
        )

    def _resume(self) -> None:
        """Go on with an unfinished training of the checkpoint."""
        record = None if self._checkpoint is None else self._checkpoint.read()
        if record is None or self._checkpoint is None:
            return
        self._last = Copy(record.number, record.blocks, record.layers)
        if self._is_between_passes(record.number):
            self._of_pass = self._last
        if record.best:
            blocks = self._checkpoint.blocks_of(record.best, record.blocks)
            self._best = Copy(record.best, blocks, self._checkpoint.layers_of(record.best))
        self._losses, self._scores = record.losses, record.scores
        self._go_back()

    def _commit(self, is_finished: bool = False) -> None:
        assert self._checkpoint is not None
        last = self._last_copy
        best = 0 if self._best is None else self._best.number
        record = Record(last.number, *last[1:], self._losses[: last.number], self._scores, best)
        self._checkpoint.write(record, is_finished)
