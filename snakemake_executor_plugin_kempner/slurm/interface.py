"""What the executor asks of a scheduler."""

from collections.abc import Collection, Mapping
from typing import Protocol

from ..options import Options
from .consumption import Consumption
from .listing import Listed
from .parse import Record, Shown, Usage


class Slurm(Protocol):
    """What the executor asks of a scheduler. Held by a contract test on the real Slurm and on the fake one.

    A job array is submitted by the option --array. Its id `123` stands for all of it, `123_4` for one element. Queries
    answer with elements. Both kinds of id can be cancelled, get a dependency, and be named in a dependency.
    """

    def submit(self, options: Options, script: str) -> str:
        """Submit a script and return its job id, for an array the id of all of it.

        Raises:
            SlurmRefused: waiting will not help. With an empty answer it is not known what became of the job.
            SlurmUnreachable: no answer; the job may or may not be in the queue.
        """

    def find(self, job_name: str) -> tuple[str, ...]:
        """Ids of the user's jobs with exactly this name or comment, also of those that have ended, as far as Slurm knows.

        An array is there once, with the id that `submit` has returned.
        """

    def names(self) -> Mapping[str, tuple[str, str]]:
        """Name and comment of each of the user's jobs that the controller knows, by job id."""

    def workdirs(self) -> Mapping[str, str]:
        """The working directory of each of the user's jobs that has not ended, by job id."""

    def runs(self, job_id: str) -> bool:
        """Whether a job, or some element of an array, has not ended; without an answer nothing is known, and it may."""

    def queue(self) -> tuple[Record, ...]:
        """All of the user's jobs that the controller knows: waiting, running, and for a while those that ended.

        Each element of an array by itself. What has vanished from an array is told by `record_of`.
        """

    def cluster(self) -> str:
        """The cluster that answers, by its name and where its controller keeps its jobs; a job id says nothing elsewhere.

        Raises:
            SlurmError: the controller did not answer.
        """

    @property
    def where(self) -> str:
        """What a command of Slurm in a message needs to ask the same cluster: ` --clusters=NAME`, or nothing."""

    def listing(self) -> tuple[Listed, ...]:
        """As `queue`, with names and times, for those who look; one query."""

    def show(self, job_ids: Collection[str]) -> tuple[Shown, ...]:
        """What the controller says of the user's jobs when it is asked for each by its id; of an unknown one nothing.

        A second source beside `queue`: what a list leaves out has not ended for that.

        Raises:
            SlurmError: it did not say of each job what it is, or that it is unknown.
        """

    def accounting(self, job_ids: Collection[str]) -> tuple[Record, ...]:
        """What accounting knows of the jobs; empty on a cluster without accounting."""

    def consumption(self, job_ids: Collection[str]) -> tuple[Consumption, ...]:
        """What accounting knows of the jobs' time, cores, memory and GPUs; empty on a cluster without accounting."""

    def usage(self, job_id: str) -> Usage:
        """What accounting knows of a job's time and memory; empty without accounting. For messages only."""

    def depend(self, job_id: str, dependency: str) -> None:
        """Give a waiting job another dependency in place of the one it has.

        Of an array, those elements that wait get it; not for `aftercorr`, which only `submit` makes hold for each.

        Raises:
            SlurmError: the job or some element of it does not wait any more, or the controller did not answer.
        """

    def release(self, job_id: str, dependency: str | None = None) -> None:
        """Let a waiting job start at once that was submitted with `--begin`.

        Args:
            job_id: of the job.
            dependency: in place of the one that it has; empty for none. By default that stays.

        Raises:
            SlurmError: the job does not wait any more, or the controller did not answer.
        """

    def keep_off(self, job_id: str, node: str, options: Options) -> bool:
        """Exclude a node for a waiting job, beside those that it excludes; False, and no change, if no other node can run it.

        Args:
            job_id: of a job alone, or of an element of an array.
            node: its name.
            options: that the job was submitted with.

        Raises:
            SlurmError: the job does not wait any more, or the controller did not answer.
        """

    def requeue(self, job_id: str) -> None:
        """Put a job that runs back into the queue, from where Slurm starts it again after some minutes.

        It keeps its id, and what waits for it goes on waiting. One that has ended is put back as well, while the controller
        knows it.

        Raises:
            SlurmError: the job waits, is unknown, may not be put back (`--no-requeue`), or the controller did not answer.
        """

    def cancel(self, job_ids: Collection[str], *, pending_only: bool = False) -> None:
        """Cancel jobs; those that have ended or are unknown are passed over.

        For a whole array its own id is better than all of its elements': then each of them leaves a record.
        """
