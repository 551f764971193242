"""What a command does with its settings: run the workflow, or preview or cancel instead, before the DAG is built."""

from dataclasses import dataclass

from .settings import Settings


@dataclass
class ExecutorSettings(Settings):
    """Settings that take effect: Snakemake constructs them after it has read its command line, and before all else."""

    def __post_init__(self) -> None:
        if self.preview or self.export:
            from .previewing import preview_instead_of_running  # noqa: PLC0415 - the settings alone cost nothing

            preview_instead_of_running()
        elif self.cancel:
            from .cancelling import cancel_instead_of_running  # noqa: PLC0415

            cancel_instead_of_running()
        if not self.cancel:
            from .adapt.grouping import keep_groups_apart  # noqa: PLC0415

            keep_groups_apart()
        if self.light_jobs == "yes" and not self.cancel:
            from .adapt.watching import watch_params  # noqa: PLC0415

            watch_params()
