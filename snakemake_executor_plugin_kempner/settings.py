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
class Settings(ExecutorSettingsBase):
    """Settings of `--executor kempner`; each field is a command-line option `--kempner-<field>`."""

    status_interval: int = field(
        default=180,
        metadata={
            "help": "Longest pause in seconds between two status queries. Slurm itself enforces the order of jobs, "
            "so the pause delays messages, not jobs. It starts at one second and grows; what jobs record "
            "themselves is seen without a query.",
            "type": int,
        },
    )
    no_kill_on_invalid_dep: bool = field(
        default=False,
        metadata={
            "help": "Submit without --kill-on-invalid-dep=yes, for sites that do not allow it. Jobs that can no "
            "longer start are then cancelled by the head process.",
        },
    )
    detach: bool = field(
        default=False,
        metadata={
            "help": "Queue everything, print what was queued, and exit. The run does not need this process: a "
            "closing job runs the hooks and reports the end, and jobs of the run continue after checkpoints.",
        },
    )
    preview: bool = field(
        default=False,
        metadata={
            "help": "Submit nothing. Check the whole plan, and show for each rule what would be queued: its "
            "dependencies, its sbatch options, and the reasons.",
        },
    )
    export: Path | None = field(
        default=None,
        metadata={
            "help": "Submit nothing. Write the plan into this file: a bash script of sbatch lines that needs no plugin "
            "(.sh), or a graph of the tasks for Graphviz (.dot) or Mermaid (.mmd). 'kempner export' does so for a run.",
            "type": Path,
        },
    )
    cancel: bool = field(
        default=False,
        metadata={
            "help": "Submit nothing. Cancel all queued and running jobs of earlier runs in this folder, including "
            "closing jobs, and exit.",
        },
    )
    array_from: int = field(
        default=5,
        metadata={
            "help": "Smallest number of tasks of a rule, with equal options, that becomes a Slurm job array; 0: "
            "never. A rule's resource slurm_array sets it for that rule.",
            "type": int,
        },
    )
    light_jobs: str = field(
        default="yes",
        metadata={
            "help": "'yes': a task whose command is known when it is queued runs without a Snakemake of its own in the "
            "job, with the same result; --kempner-preview shows which, and why others do not. 'no': every job runs "
            "Snakemake. A rule's resource slurm_light=0 says 'no' for that rule.",
            "type": str,
        },
    )
    exclude_failed_nodes: str = field(
        default="yes",
        metadata={
            "help": "'yes': after NODE_FAIL, a job that is killed before its program starts, or a failure within a minute "
            "on a node where another job of the run failed like this, further attempts of the task (retries) keep off "
            "the node, if another node can run them. 'no': they run wherever Slurm starts them.",
            "type": str,
        },
    )
    max_queued: int | None = field(
        default=None,
        metadata={
            "help": "Most jobs that you want in the queue, including those of other runs; the rest is submitted when "
            "there is room. The limits of the site are read from Slurm and apply as well.",
            "type": int,
        },
    )
    max_gpu_hours: float | None = field(
        default=None,
        metadata={
            "help": "Submit nothing if the run asks for more GPU hours than this: GPUs times time limit, each task once "
            "with all of its segments, retries not counted. Below a checkpoint, tasks that would go beyond it fail.",
            "type": float,
        },
    )
    submit_pause: float = field(
        default=0.0,
        metadata={
            "help": "Seconds to wait between two calls of sbatch, for sites that require it.",
            "type": float,
        },
    )
    site: Path | None = field(
        default=None,
        metadata={
            "help": "File with what Slurm does not know about the cluster (partitions, GPUs, accounts, caps). The "
            "plugin has one for Kempner; 'python -m snakemake_executor_plugin_kempner.draft_site' drafts one "
            "for another cluster.",
            "type": Path,
        },
    )
    checks: str = field(
        default="error",
        metadata={
            "help": "What to do about requests that can never start, or that waste resources: 'error' (submit "
            "nothing if a request can never start, warn if it wastes resources), 'warn' (only warn) or "
            "'off'.",
            "type": str,
        },
    )
    logdir: Path | None = field(
        default=None,
        metadata={
            "help": "Folder for the logs of jobs, with a subfolder for each run; relative to the working directory, "
            "or absolute. Default: .snakemake/kempner/<run>/logs.",
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
            "help": "Days after which the folders of ended runs (logs, records) are deleted from .snakemake/kempner "
            "and --kempner-logdir; without it they are kept.",
            "type": float,
        },
    )
    efficiency_report: bool = field(
        default=False,
        metadata={
            "help": "At the end of the run, report for each rule how much of the requested time, cores, memory and "
            "GPUs its jobs have used, and write efficiency.csv into the run's folder. 'python -m "
            "snakemake_executor_plugin_kempner.efficiency' reports it at any time.",
        },
    )
    replace_changed: bool = field(
        default=False,
        metadata={
            "help": "Cancel queued tasks of an earlier run whose code, parameters, inputs or resources have changed "
            "in the workflow since, with everything that waits for them, and submit them again. Without this "
            "flag they are only reported.",
        },
    )
    mail: str = field(
        default="",
        metadata={
            "help": "Send one mail when the run has ended, however it has ended: to this address, or 'self' for the user who "
            "has started it. Its subject is the workflow's folder and the result, its text the page that is also in "
            ".snakemake/kempner/latest/closing.log.",
            "type": str,
        },
    )
    on_end: str = field(
        default="",
        metadata={
            "help": "Run this shell command once when the run has ended, however it has ended. KEMPNER_RESULT is "
            "succeeded, failed, cancelled or unknown; KEMPNER_RUN, KEMPNER_FOLDER and KEMPNER_PAGE name the run, "
            "its working directory and the file with the page about its end.",
            "type": str,
        },
    )
    closing_options: str = field(
        default="",
        metadata={
            "help": "More sbatch options for the closing job of the run, in one text, such as '--partition=shared "
            "--time=120'. The closing job of a detached run ends as the run does: COMPLETED or FAILED.",
        },
    )
    no_closing_job: bool = field(
        default=False,
        metadata={
            "help": "Do not queue a closing job for a watched run. If the head process dies, checkpoints, temporary "
            "files and hooks then wait until the same command is given again.",
        },
    )
