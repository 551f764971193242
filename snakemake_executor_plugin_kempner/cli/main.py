"""The verbs of `kempner` and their options."""

import gc
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import KempnerError
from ..printable import printable

if TYPE_CHECKING:
    from .places import Place

FAILED = "failed"
_HELP = {"help_option_names": ["-h", "--help"]}


class _Verbs(click.Group):
    """A group whose default verb is `status`, and that shows our errors without a stack."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and self.get_command(ctx, args[0]) is None:
            return "status", self.get_command(ctx, "status"), args
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KempnerError as error:
            raise click.ClickException(str(error)) from error
        except BrokenPipeError:  # `kempner logs | head`
            sys.stderr.close()
            return 0


def _runs_of(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Names of runs, for a shell that completes."""
    try:
        return [name for name in _place(ctx).names() if name.startswith(incomplete)]
    except KempnerError:
        return []


def _tasks_of(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Rules, and tasks once a bracket is typed, for a shell that completes."""
    try:
        ledger = _place(ctx).ledger(str(ctx.params.get("run") or ""))
    except KempnerError:
        return []
    labels = dict.fromkeys(entry.label for entry in ledger.entries if entry.kind == "task")
    rules = dict.fromkeys(label.partition("[")[0] for label in labels)
    words = labels if "[" in incomplete else {FAILED: None, **rules}
    return [word for word in words if word.startswith(incomplete)][:200]


def _start(ctx: click.Context) -> Path:
    folder = ctx.params.get("folder") or (ctx.parent.params.get("folder") if ctx.parent else None)
    return Path(folder or ".")


def _place(ctx: click.Context) -> "Place":
    from .places import Place  # noqa: PLC0415 - not for --help

    return Place(_start(ctx))


_FOLDER = click.option("-C", "folder", metavar="DIR", type=click.Path(file_okay=False), help="The workflow's folder.")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
_RUN = click.option(
    "--run",
    default="",
    metavar="RUN",
    shell_complete=_runs_of,
    help="Name of the run, or a part of it; else the latest.",
)


@click.group(cls=_Verbs, invoke_without_command=True, context_settings={**_HELP, "ignore_unknown_options": True})
@_FOLDER
@click.version_option(package_name="snakemake-executor-plugin-kempner")
@click.pass_context
def kempner(ctx: click.Context, folder: str | None) -> None:
    """See, steer and mend runs of Snakemake on Slurm.

    Reads .snakemake/kempner and Slurm only: it works while the snakemake command lives, after it has died, for
    --kempner-detach, and when the Snakefile has an error.

    A TASK is named by its rule, by 'train[lr=0.1,*]', by a Slurm job id, or as failed.
    """
    del folder
    if ctx.invoked_subcommand is None:
        ctx.invoke(status_, run="", watch=False, as_json=False, folder=None)


@kempner.command("status")
@click.argument("run", default="", shell_complete=_runs_of)
@click.option("-w", "--watch", is_flag=True, help="Show it again and again until the run has ended.")
@_JSON
@_FOLDER
@click.pass_context
def status_(ctx: click.Context, run: str, *, watch: bool, as_json: bool, folder: str | None) -> None:
    """How far the run is, what waits for what, what has failed and why."""
    from .status import status  # noqa: PLC0415 - each verb loads what it needs

    del folder
    place = _place(ctx)
    if run and not place.is_run(run):
        verbs = ", ".join(kempner.commands)
        raise click.UsageError(f"{run!r} is no verb ({verbs}) and no run ({printable(', '.join(place.names()))}).")
    status(place, run, watch=watch, as_json=as_json)


@kempner.command("why")
@click.argument("task", nargs=-1, shell_complete=_tasks_of)
@_RUN
@_JSON
@_FOLDER
@click.pass_context
def why_(ctx: click.Context, task: tuple[str, ...], *, run: str, as_json: bool, folder: str | None) -> None:
    """Why a task has failed, or does not start; what to type. By default the failed tasks."""
    from .why import why  # noqa: PLC0415

    del folder
    why(_place(ctx), run, task or (FAILED,), as_json=as_json)


@kempner.command("logs")
@click.argument("task", nargs=-1, shell_complete=_tasks_of)
@click.option("-f", "--follow", is_flag=True, help="Go on printing what a running task writes.")
@click.option("--path", "paths", is_flag=True, help="Print the names of the files only.")
@_RUN
@_JSON
@_FOLDER
@click.pass_context
def logs_(
    ctx: click.Context, task: tuple[str, ...], *, follow: bool, paths: bool, run: str, as_json: bool, folder: str | None
) -> None:
    """The end of a task's log. By default of the failed tasks."""
    from .logs import logs  # noqa: PLC0415

    del folder
    logs(_place(ctx), run, task, follow=follow, paths=paths, as_json=as_json)


@kempner.command("runs")
@_JSON
@_FOLDER
@click.pass_context
def runs_(ctx: click.Context, *, as_json: bool, folder: str | None) -> None:
    """The runs of the folder, the latest first."""
    from .runs import runs  # noqa: PLC0415

    del folder
    runs(_place(ctx), as_json=as_json)


@kempner.command("report")
@click.argument("run", default="", shell_complete=_runs_of)
@click.option("--html", is_flag=True, help="Write a page with charts, by default report.html in the run's folder.")
@click.option("--csv", "as_csv", is_flag=True, help="Write a row for each attempt, by default to standard output.")
@click.option("--suggest", is_flag=True, help="Write set-resources: for a profile, from all runs of the folder.")
@click.option("-o", "output", metavar="FILE", type=click.Path(dir_okay=False), help="Where to write it.")
@_JSON
@_FOLDER
@click.pass_context
def report_(
    ctx: click.Context, run: str, *, html: bool, as_csv: bool, suggest: bool, output: str | None, as_json: bool,
    folder: str | None,
) -> None:  # fmt: skip
    """What the jobs of a run used, how long they waited, and their GPU hours; with advice."""
    from .report import report, suggest_requests  # noqa: PLC0415

    del folder
    if html + as_csv + as_json + suggest > 1:
        raise click.UsageError("--html, --csv, --json and --suggest are four reports: give one of them at a time.")
    if output and not (html or as_csv or suggest):
        raise click.UsageError("-o FILE needs --html, --csv or --suggest.")
    if suggest and run:
        raise click.UsageError("--suggest reads all runs of the folder: give it without a RUN.")
    if suggest:
        suggest_requests(_place(ctx), output)
        return
    report(_place(ctx), run, form="html" if html else "csv" if as_csv else "json" if as_json else "", output=output)


@kempner.command("export")
@click.argument("run", default="", shell_complete=_runs_of)
@click.option("-o", "output", metavar="FILE", type=click.Path(dir_okay=False), help="Where to write it.")
@click.option(
    "--form",
    type=click.Choice(["bash", "dot", "mermaid"]),
    help="By default as FILE ends (.sh, .dot, .mmd), else bash.",
)
@_FOLDER
@click.pass_context
def export_(ctx: click.Context, run: str, *, output: str | None, form: str | None, folder: str | None) -> None:
    """The plan of a run as a bash script of sbatch lines, or as a graph for Graphviz or Mermaid."""
    from .export import export  # noqa: PLC0415

    del folder
    export(_place(ctx), run, form=form, output=output)


@kempner.command("cancel")
@click.argument("what", nargs=-1, metavar="[RUN|TASK]...", shell_complete=_tasks_of)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@_RUN
@_JSON
@_FOLDER
@click.pass_context
def cancel_(
    ctx: click.Context, what: tuple[str, ...], *, yes: bool, run: str, as_json: bool, folder: str | None
) -> None:
    """Cancel a run (by default the latest), or tasks and those that need them. Asks first."""
    from .cancel import cancel  # noqa: PLC0415

    del folder
    cancel(_place(ctx), run, what, yes=yes, as_json=as_json)


@kempner.command("doctor")
@_JSON
@_FOLDER
@click.pass_context
def doctor_(ctx: click.Context, *, as_json: bool, folder: str | None) -> None:
    """Whether Slurm, your account, this folder and its profile are as they should be; what to type if not."""
    from .doctor import doctor  # noqa: PLC0415

    del folder
    sys.exit(doctor(_start(ctx), as_json=as_json))


# --- other programs of the package ----------------------------------------------------------------------------------

_PASSED_ON = {"ignore_unknown_options": True, "help_option_names": []}
_WORDS = click.argument("words", nargs=-1, type=click.UNPROCESSED)


@kempner.command("sandbox", context_settings=_PASSED_ON)
@_WORDS
def sandbox_(words: tuple[str, ...]) -> None:
    """A private Slurm on this machine: up, down, status, run."""
    from .others import sandbox  # noqa: PLC0415

    sys.exit(sandbox(words))


@kempner.group("site")
def site_() -> None:
    """What this cluster has."""


@site_.command("draft", context_settings=_PASSED_ON)
@_WORDS
def draft_(words: tuple[str, ...]) -> None:
    """Print a site file, drafted from the live Slurm."""
    from .others import draft_site  # noqa: PLC0415

    sys.exit(draft_site(words))


@kempner.command("efficiency", context_settings=_PASSED_ON)
@_WORDS
def efficiency_(words: tuple[str, ...]) -> None:
    """How much of their requested resources the jobs of a run have used."""
    from .others import efficiency  # noqa: PLC0415

    sys.exit(efficiency(words))


def main(words: Sequence[str] | None = None) -> None:
    """The program `kempner`."""
    gc.disable()  # it lives for a moment, and with ten thousand tasks a third of it would go into this
    kempner.main(args=None if words is None else list(words), prog_name="kempner")
