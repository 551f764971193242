"""Command line flags of the executor and what they mean."""

from dataclasses import dataclass, field
from pathlib import Path

from snakemake_interface_executor_plugins.settings import CommonSettings, ExecutorSettingsBase

common_settings = CommonSettings(
    non_local_exec=True,
    implies_no_shared_fs=False,
    job_deploy_sources=False,
    pass_default_storage_provider_args=True,
    pass_default_resources_args=True,
    pass_envvar_declarations_to_cmd=False,  # sbatch passes the environment on; secrets stay out of scripts
    auto_deploy_default_storage_provider=False,
    init_seconds_before_status_checks=1,
)


@dataclass
class ExecutorSettings(ExecutorSettingsBase):
    """Settings of `--executor kempner`; each field is a flag `--kempner-<field>`."""

    status_interval: int = field(
        default=180,
        metadata={
            "help": "Longest pause in seconds between two status queries. Slurm keeps the order of jobs by itself, so "
            "the pause delays messages, not jobs. It starts at one second and grows with the time in which nothing "
            "changes.",
            "type": int,
        },
    )
    no_kill_on_invalid_dep: bool = field(
        default=False,
        metadata={
            "help": "Submit without --kill-on-invalid-dep=yes, for sites that do not allow it. Jobs that can no longer "
            "start are then cancelled by the head process.",
        },
    )
    detach: bool = field(
        default=False,
        metadata={
            "help": "Queue everything, print what was queued, and leave. Nothing of the run needs this process: a closing "
            "job runs the hooks and reports the end, and jobs of the run go on behind checkpoints.",
        },
    )
    preview: bool = field(
        default=False,
        metadata={
            "help": "Submit nothing. Check the whole plan, and show for each rule what would be queued: what it waits for, "
            "its options of sbatch, and why.",
        },
    )
    cancel: bool = field(
        default=False,
        metadata={
            "help": "Submit nothing. Cancel what earlier runs in this folder have in the queue, closing jobs included, "
            "and leave.",
        },
    )
    array_from: int = field(
        default=5,
        metadata={
            "help": "From how many tasks of one rule on, with equal options, they become a Slurm job array; 0 for never. "
            "A rule's resource slurm_array says it for the rule alone.",
            "type": int,
        },
    )
    max_queued: int | None = field(
        default=None,
        metadata={
            "help": "Jobs that you want to have in the queue at most, those of other runs included; the rest follows "
            "when there is room. The limits of the site are read from Slurm and hold as well.",
            "type": int,
        },
    )
    submit_pause: float = field(
        default=0.0,
        metadata={
            "help": "Seconds to wait between two calls of sbatch, on sites that ask for it.",
            "type": float,
        },
    )
    site: Path | None = field(
        default=None,
        metadata={
            "help": "File that describes the cluster (partitions, GPUs, accounts, caps) where Slurm does not. One for Kempner "
            "comes with the plugin; 'python -m snakemake_executor_plugin_kempner.draft_site' begins one for any other.",
            "type": Path,
        },
    )
    checks: str = field(
        default="error",
        metadata={
            "help": "What to do about requests that can never start, or that waste: 'error' (submit nothing when something "
            "can never start, and warn of what wastes), 'warn' (only say so) or 'off'.",
            "type": str,
        },
    )
    logdir: Path | None = field(
        default=None,
        metadata={
            "help": "Where the logs of jobs lie, in a folder for each run, below the working directory or absolute; "
            "without it, in .snakemake/kempner/<run>/logs.",
            "type": Path,
        },
    )
    jobname_prefix: str = field(
        default="",
        metadata={
            "help": "Text before the name of each Slurm job: letters, digits, '_', '-', '.', '+' and '='.",
            "type": str,
        },
    )
    delete_runs_after: float | None = field(
        default=None,
        metadata={
            "help": "Days after which the folders of runs that are over (logs, records) are removed "
            "from .snakemake/kempner and --kempner-logdir; without it they stay.",
            "type": float,
        },
    )
    efficiency_report: bool = field(
        default=False,
        metadata={
            "help": "At the end of the run, say for each rule what its jobs used of the time, cores, memory and GPUs that "
            "they asked for, and write efficiency.csv into the run's folder. Without this flag, 'python -m "
            "snakemake_executor_plugin_kempner.efficiency' says it at any time.",
        },
    )
    replace_changed: bool = field(
        default=False,
        metadata={
            "help": "Cancel tasks of an earlier run that are in the queue with other code, parameters, inputs or "
            "resources than the workflow has now, with all that waits for them, and submit them anew. Without this flag "
            "they are shown and go on as they are.",
        },
    )
    closing_options: str = field(
        default="",
        metadata={
            "help": "More options of sbatch for the closing job of the run, in one text, such as "
            "'--mail-type=END,FAIL --partition=shared'. Of a detached run, its end is the end of the run: COMPLETED or "
            "FAILED.",
        },
    )
    no_closing_job: bool = field(
        default=False,
        metadata={
            "help": "Watch without a closing job in the queue. If the head process dies, checkpoints, temporary files and "
            "hooks then wait until the same command is given again.",
        },
    )

    def __post_init__(self) -> None:
        if self.preview:
            from .previewing import preview_instead_of_running  # noqa: PLC0415 - the settings alone cost nothing

            preview_instead_of_running()
        elif self.cancel:
            from .cancelling import cancel_instead_of_running  # noqa: PLC0415

            cancel_instead_of_running()
