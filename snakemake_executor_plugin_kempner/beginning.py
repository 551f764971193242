"""Starts a run, or continues it in one of its own jobs."""

import logging
import os
import shlex
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from .announcements import changed_message, kept_message, unplanned_message
from .errors import Fault, LedgerError, PlanError, SlurmError, SlurmMissing
from .invocation import started, versions
from .options import NO_OPTIONS, Options
from .plan.model import Kind, Policy
from .plan.task import Task
from .printable import quoted
from .run.belonging import marks, refuse_other_users, refuse_unexplained, unexplained
from .run.clock import SystemClock, file_time
from .run.cluster import name_of_cluster
from .run.ledger import Ledger
from .run.ledgers import open_ledgers
from .run.live import LiveRun
from .run.opening import EarlierRuns, look_back, patiently
from .run.outcome import TaskEvent
from .run.pruning import prune
from .run.result import Result
from .run.resume import go_on
from .run.takeover import changes, close_earlier, keep
from .site.file import applies, packaged, read_site
from .site.live import Tell, live_site, together
from .site.model import Site
from .slurm.client import Slurm, SlurmCommands
from .slurm.environment import chosen_options, cluster_of_user, notices
from .slurm.site_limits import SiteLimits, user_name


def check_that_it_can_leave() -> None:
    """Check that a detached run can continue, which needs the `snakemake` command that began it.

    Raises:
        PlanError: this process was not started by a `snakemake` command.
    """
    if not started().is_command_line:
        what = "--kempner-detach goes on by giving the same command again, and this is no 'snakemake' command"
        raise PlanError([Fault(where="command line", what=f"{what}: {shlex.join(started().command)}")])


def at_cluster(policy: Policy, slurm: SlurmCommands) -> Policy:
    """The policy with the cluster that the run goes to, and the one that a rule without a name would go to."""
    try:
        other = slurm.other_cluster
    except SlurmError:
        return policy
    cluster = other or (policy.site.cluster if policy.site else "")
    home = (cluster_of_user(os.environ) or slurm.here or cluster) if slurm.named else cluster
    return replace(policy, cluster=cluster, home=home, at=Options({"clusters": other}) if other else NO_OPTIONS)


def at_site(policy: Policy, limits: SiteLimits, file: Path | None) -> Policy:
    """The policy with Slurm's limits and the site.

    Raises:
        PlanError: the site file cannot be read.
    """
    read = limits.limits()
    site = _site(file, Path(policy.folder, "site.yaml"), limits.tell)
    return replace(
        policy, largest_array=read.array_size, largest_script=read.script_bytes, memory=read.memory, site=site
    )


def _site(file: Path | None, copy: Path, tell: Tell) -> Site | None:
    """The site from the live Slurm combined with a site file: the user's, or the packaged file if it applies."""
    of_file = read_site(Path(started().folder, file), copy) if file else None
    live = live_site(tell, user_name(), os.environ, chosen_options(os.environ))
    if of_file is None and live is not None:
        kempner, patterns = packaged()
        of_file = kempner if applies(patterns, live.partitions) else None
    return together(of_file, live) if of_file or live else None


def settle_changes(
    found: EarlierRuns,
    tasks: Sequence[Task],
    outdated: Mapping[str, tuple[str, str]],
    take_out: Callable[[EarlierRuns, Collection[str]], EarlierRuns] | None,
    warn: Callable[[str], None],
    *,
    site: Site | None = None,
) -> EarlierRuns:
    """Report or cancel queued tasks that have changed in the workflow; returns the tasks to take over.

    Args:
        found: what earlier runs have left.
        tasks: the queued tasks that are still wanted, as the workflow describes them now.
        outdated: succeeded tasks that would run again although a queued task reads their outputs: by key, their label
            and the key of the reader.
        take_out: takes changed tasks and their dependants out of the queue; None keeps them there.
        warn: gets a message for each changed task.
        site: where they are to run.

    Raises:
        SlurmError: a changed task does not leave the queue.
    """
    left = {entry.task: entry for entry in found.left}
    changed = {task.key: words for task in tasks if (words := changes(task, left[task.key], site))}
    for label, reader in outdated.values():
        if reader not in changed:
            warn(kept_message(label, left[reader], is_replaced=take_out is not None))
    for key, words in changed.items():
        warn(changed_message(left[key], words, is_replaced=take_out is not None))
    if take_out is None:
        return keep(found, outdated)
    gone = {*changed, *(reader for _, reader in outdated.values())}
    return take_out(found, gone) if gone else found


def tell_what_is_left(found: EarlierRuns, logger: logging.Logger, to_submit: int) -> None:
    """Report what a run goes on with, and what earlier runs had yet to submit."""
    if found.left:
        logger.info(found.line(to_submit))
    for ledger in found.unplanned:
        if _targets(command := ledger.header.get("command", ())) != _targets(started().command):
            logger.warning(unplanned_message(ledger.run, command))


def _targets(command: Sequence[str]) -> set[str]:
    """The words of a command that decide what is made, without options of this plugin and --rerun-incomplete."""
    return {word for word in command[1:] if not word.startswith(("--kempner-", "--rerun-incomplete"))}


def earlier_runs(runs: Path, slurm: Slurm, logger: logging.Logger, delete_after: float | None) -> EarlierRuns:
    """What is left of earlier runs below the folder; ended runs that are older than `delete_after` days are deleted.

    Raises:
        FolderInUse: a run of another user in this folder is not closed.
        LedgerError: as `look_back`; or jobs of this folder are in the queue that are in no ledger.
        SlurmError: as `look_back`.
    """
    refuse_other_users(runs, os.getcwd())
    if delete_after is not None and (gone := list(prune(runs, delete_after, time.time()))):
        logger.info(f"Removed the records of {len(gone)} runs that ended more than {delete_after:g} days ago.")
    found = look_back(runs, os.getcwd(), slurm, started().time, logger.warning)
    with suppress(SlurmMissing):  # sbatch reports it later
        jobs = patiently(lambda: unexplained(runs, os.getcwd(), slurm, found.ledgers), logger.warning)
        refuse_unexplained(jobs)
    return found


def rules_in_open_runs(runs: Path) -> set[str]:
    """Rules with queued tasks, from all open runs below the folder.

    A local rule among them was queued when there was no head to run it; it must be handed over to be found in flight.
    """
    try:
        ledgers = open_ledgers(runs)
    except LedgerError:  # reported when the run begins
        return set()
    return {entry.label.partition("[")[0] for ledger in ledgers for entry in ledger.of_kind(Kind.TASK)}


def close_what_is_over(
    runs: Path, slurm: Slurm, logger: logging.Logger, result: Result, finish: Callable[[Path, Result], None]
) -> None:
    """Close earlier runs without remaining tasks, after a command that had nothing to hand over.

    Args:
        runs: `.snakemake/kempner`.
        slurm: the scheduler.
        logger: gets warnings.
        result: of the command, and so of those runs.
        finish: does what is to be done at the end of the run in a folder.

    Raises:
        LedgerError, SlurmError: as `look_back`.
    """
    found = look_back(runs, os.getcwd(), slurm, started().time, logger.warning)
    if not any(entry.kind == Kind.TASK.value for entry in found.jobs.values()):
        for ledger in found.ledgers:
            finish(ledger.folder, result)
        close_earlier(found, "", slurm, result)


def keep_end(policy: Policy, found: EarlierRuns, say: Callable[[str], None]) -> Policy:
    """The policy, with what earlier runs were to do at their end where this command does not say it itself."""
    kept: dict[str, str | Options] = {}
    for ledger in reversed(found.ledgers):
        for name in ("mail", "on_end", "closing_options"):
            asked = ledger.header.get(name)
            if asked and not getattr(policy, name) and name not in kept:
                kept[name] = asked if isinstance(asked, str) else Options.of(*asked)
                shown = asked if isinstance(asked, str) else shlex.join(asked)
                flag = f"--kempner-{name.replace('_', '-')}"
                say(f"As run {ledger.run} was started with it, this run keeps {flag} {quoted(shown)}.")
    return replace(policy, **kept)  # type: ignore[arg-type]  # by its names


def begin_run(
    policy: Policy, found: EarlierRuns, slurm: Slurm, logger: logging.Logger, limits: SiteLimits | None = None
) -> LiveRun:
    """Begin a new run, whose ledger also holds the tasks that it takes over.

    Raises:
        LedgerError: the ledger cannot be written.
        SlurmError: the other cluster that the run goes to did not tell its name.
    """
    ledger = Ledger(
        Path(policy.folder),
        logger.warning,
        run=policy.run,
        command=started().command,
        started_in=started().folder,
        # Where it is another cluster, whoever reads the ledger has to be told.
        cluster=patiently(slurm.cluster, logger.warning) if policy.at else name_of_cluster(slurm),
        **marks(os.getcwd()),
        keep_going=policy.keep_going,
        retries_elsewhere=policy.retries_elsewhere,
        locks=policy.locks,
        records_in_files=policy.records_in_files,
        file_time=file_time(Path(policy.folder)) or 0.0,
        kill_on_invalid_dep=policy.kill_on_invalid_dep,
        efficiency_report=policy.efficiency_report,
        mail=policy.mail,
        on_end=policy.on_end,
        closing_options=policy.closing_options.argv,
        versions=dict(versions()),
    )
    for notice in notices(os.environ):
        logger.warning(notice)
    live = LiveRun(policy, slurm, ledger, SystemClock(), logger, limits=limits)
    live.adopt(found.left)
    live.look_after(entry for entry in found.jobs.values() if entry.kind == Kind.GATE.value)
    return live


def go_on_with_run(
    policy: Policy, slurm: Slurm, logger: logging.Logger, limits: SiteLimits | None = None
) -> tuple[LiveRun, tuple[TaskEvent, ...]]:
    """The run that this continuation or closing job belongs to, and the events of its tasks so far.

    Raises:
        LedgerError: the ledger cannot be read.
        SlurmError: Slurm could not be asked.
    """
    live = LiveRun(policy, slurm, Ledger(Path(policy.folder), logger.warning), SystemClock(), logger, limits=limits)
    return live, go_on(live, slurm, SystemClock(), logger.warning)
