"""Everything of Snakemake that this package overrides or uses and that no interface promises. Data, for people and a test.

A name is `module:Class.attribute`. Where a version of Snakemake has another module for a class, both stand there, with `|`.
"""

INTERNALS = {
    # Overridden, in this process only.
    "snakemake.workflow:Workflow.execute": "preview, cancel, or go on with a run, in place of running the workflow",
    "snakemake.workflow:Workflow.is_local": "local rules are jobs where no head will be there",
    "snakemake.workflow:Workflow.configfile": "jobs read configuration files as they were when the run began",
    "snakemake.workflow:Workflow._onstart": "hooks run once in a run, not once in a process",
    "snakemake.workflow:Workflow._onsuccess": "the same",
    "snakemake.workflow:Workflow._onerror": "the same",
    "snakemake.common.configfile:_load_configfile": "as `configfile`; everything that reads one goes through it",
    "snakemake.cli:parse_args": "what was forced when the run began is not forced again; whether a report waits for the end",
    "snakemake.cli:parse_target_jobs_cli_args": "wildcards with a comma have no spelling on the command line",
    "snakemake.cli:parse_config": "nor has configuration with quotes",
    "snakemake.dag:DAG.update_needrun": "what is done by the record of the run is not run again",
    "snakemake.dag:DAG.file2jobs": "in a group's job, the rule that the plan has chosen makes the file",
    "snakemake.dag:DAG.create_conda_envs": "a preview builds no environment",
    "snakemake.dag:DAG.pull_container_imgs": "nor pulls a container image",
    "snakemake.rules:Rule.restart_times": "attempts are Slurm jobs: a job makes one only",
    "snakemake.jobs:GroupJobFactory.new": "after a checkpoint a job could be in two groups, and run twice",
    "snakemake.executors.local:Executor.format_job_exec": "what a job's Snakemake starts is adjusted like itself",
    "snakemake.persistence.file:FilePersistence.finished|snakemake.persistence:Persistence.finished": (
        "a job records provenance itself, for the head may be gone"
    ),
    "snakemake.common:parse_uri": "a job reads the path of a local source without an HTTP client",
    "snakemake.sourcecache:SourceCache._open": "and opens it so",
    "snakemake.script:get_language": "a script that is no notebook starts without nbformat",
    "snakemake.script:Snakemake._safely_store_params": "nor with pandas, numpy and polars, unless a parameter is theirs",
    "snakemake.persistence:PersistenceBase._serialize_param_pandas|snakemake.persistence:Persistence._serialize_param_pandas": (
        "parameters are recorded without pandas, unless one is a table"
    ),
    "snakemake.persistence:PersistenceBase._serialize_param_builtin|snakemake.persistence:Persistence._serialize_param_builtin": (
        "the same"
    ),
    "snakemake_interface_common.plugin_registry:pkgutil": "plugins are looked for by their names, not among all packages",
    "snakemake_interface_common.plugin_registry:PluginRegistryBase.collect_plugins": "a job imports no executor plugin",
    "snakemake_interface_report_plugins.registry:ReportPluginRegistry.collect_plugins": "nor a report plugin",
    "snakemake_interface_storage_plugins.storage_object:StorageObjectRead.managed_checksum": (
        "members of a group read local files that are not stored yet"
    ),
    "snakemake_interface_storage_plugins.storage_object:StorageObjectRead.managed_size": "the same",
    "snakemake.scheduling.job_scheduler:JobScheduler._finish_jobs": "a head that has lost its claim touches nothing more",
    "snakemake.scheduling.job_scheduler:JobScheduler._error_jobs": "the same",
    "snakemake.scheduling.job_scheduler:JobScheduler._handle_error": "a local rule that has failed is not run once more",
    "snakemake.sourcecache:SourceCache._runtime_cache_path": "sources are fetched into the folder of the run",
    "snakemake.scheduling.job_scheduler:JobScheduler.update_input_sizes": (
        "a job may remove a temporary file between the look whether it exists and the look how large it is"
    ),
    # Used.
    "snakemake.scheduling.job_scheduler:JobScheduler._lock": "the DAG must not change while it is read",
    "snakemake.scheduling.job_scheduler:JobScheduler._tofinish": "what `_finish_jobs` is about to do",
    "snakemake.scheduling.job_scheduler:JobScheduler._toerror": "what `_error_jobs` is about to do",
    "snakemake.scheduling.job_scheduler:JobScheduler._errors": "a task that was never started fails the run",
    "snakemake.scheduling.job_scheduler:JobScheduler._free_resources": "such a task gives its resources back",
    "snakemake.scheduling.job_scheduler:JobScheduler._open_jobs": "and the scheduler looks for what is ready",
    "snakemake.workflow:Workflow._localrules": "as jobs, local rules go to the cluster of the others",
    "snakemake.dag:DAG.forcerules": "a job forces only what the run does not know yet",
    "snakemake.dag:DAG.omitforce": "the same",
    "snakemake.dag:DAG._needrun": "`needrun_jobs` leaves out what has finished",
    "snakemake.dag:DAG._finished": "how many jobs there are, counted anew",
    "snakemake.dag:DAG._len": "the same",
    "snakemake.dag:DAG._n_until_ready": "what each job waits for, counted anew",
    "snakemake.dag:DAG._checkpoint_jobs": "checkpoints that have to run, counted anew",
    "snakemake.jobs:Job._params": "parameters of an attempt are evaluated once more for the next",
    "snakemake.jobs:Job._non_derived_params": "the same",
    "snakemake.persistence:PersistenceBase._code|snakemake.persistence:Persistence._code": (
        "a task counts as changed when Snakemake would say so"
    ),
    "snakemake.persistence:PersistenceBase._params|snakemake.persistence:Persistence._params": "the same",
    "snakemake.persistence:PersistenceBase._input|snakemake.persistence:Persistence._input": "the same",
    "snakemake.persistence:PersistenceBase._software_stack_hash|snakemake.persistence:Persistence._software_stack_hash": (
        "a light job records what Snakemake would"
    ),
    "snakemake.persistence:PersistenceBase._conda_env|snakemake.persistence:Persistence._conda_env": "the same",
    "snakemake.jobs:Job.container_img_url": "the same",
    "snakemake.persistence:RECORD_FORMAT_VERSION": "there are light jobs only where Snakemake's record is known",
    "snakemake.shell:shell._get_process_prefix": "a light job runs its command as Snakemake would",
    "snakemake.shell:shell._process_suffix": "the same",
    "snakemake.shell:shell._process_args": "the same",
    "snakemake.common:get_input_function_aux_params": "params that take resources or threads are evaluated in the job",
    "snakemake.iocontainers:Namedlist._plainstrings|snakemake.io:Namedlist._plainstrings": "the command of a light job names files as a job does",
    "snakemake.utils:SequenceFormatter": "the command of a light job is formatted by Snakemake's own formatter",
    "snakemake.utils:QuotedFormatter": "the same",
    "snakemake.rules:Rule.expand_params": "params that read files are evaluated in the job",
    "snakemake.rules:Rule.apply_input_function": "functions of resources in its command are watched",
    "snakemake.persistence.file:FilePersistence._incomplete_cache|snakemake.persistence:Persistence._incomplete_cache": (
        "it is of the head's start; jobs have set marks since"
    ),
    "snakemake.persistence.file:FilePersistence._lockfile|snakemake.persistence:Persistence._lockfile": (
        "a closing job removes the locks of a head that has died, and no others"
    ),
    "snakemake.settings.types:ResourceSettings._parsed_default_resources": "default resources as a job gets them",
}
"""By name, the reason."""
