"""Command line flags of the executor and what they mean."""

from dataclasses import dataclass, field

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
