"""What keeps jobs from being light jobs, as far as it is the same for all jobs of a workflow or a rule.

The words are those of `plan.light.REASONS`.
"""

import re
import sys
from collections.abc import Collection, Iterator
from pathlib import PurePath
from string import Formatter
from typing import Any

import snakemake.persistence as records
from snakemake.common import get_input_function_aux_params
from snakemake.exceptions import WorkflowError
from snakemake.io import AnnotatedString, contains_wildcard, get_flag_value, is_callable
from snakemake.settings.types import DeploymentMethod
from snakemake.shell import shell
from snakemake_interface_executor_plugins.settings import SharedFSUsage

from ..plan.light import FORMATS, NAMES, OUTPUT_FLAGS
from .reading_environment import reads_environment

_PLAIN = (str, int, float, bool)
"""Types of globals that a command may name, beside paths and what holds these."""
_FILES = frozenset({"input", "output", "log"})


def obstacles_of(workflow: Any) -> Iterator[str]:
    """What keeps all jobs of a workflow from being light jobs."""
    if not _records_are_known(workflow.persistence):
        yield "records"  # and the rest of this Snakemake is not known either
        return
    if workflow.storage_settings.shared_fs_usage != SharedFSUsage.all():
        yield "not shared"
    if shell._process_args.keys() != {"executable"} or not shell.get_executable():  # noqa: SLF001
        yield "shell"
    if sys.getfilesystemencoding() != "utf-8":
        yield "encoding"
    if workflow.execution_settings.debug:
        yield "debug"
    if workflow.execution_settings.edit_notebook:
        yield "edits"
    try:
        if any(map(reads_environment, _texts(workflow))):
            yield "environment"
    except (OSError, UnicodeError):
        yield "environment"


def _records_are_known(persistence: Any) -> bool:
    """Whether the installed Snakemake keeps records in files, with the fields that a light job writes."""
    known = FORMATS.get(records.RECORD_FORMAT_VERSION)
    model = getattr(records, "MetadataRecord", None)
    fields = tuple(model().model_dump()) if model is not None else ()
    return known is not None and fields == known and type(persistence).__name__ == "FilePersistence"


def _texts(workflow: Any) -> Iterator[str]:
    for source in workflow.included:
        with workflow.sourcecache.open(source) as file:
            yield file.read()


def obstacles_of_rule(job: Any, workflow: Any, names: Collection[tuple[str, str]]) -> Iterator[str]:
    """What keeps the jobs of a rule from being light jobs.

    Args:
        job: of the rule.
        workflow: Snakemake's workflow object.
        names: in its command, as `names_in`.
    """
    rule, roots = job.rule, {root for root, _ in names}
    yield from _in_the_rule(rule)
    yield from _in_environments(job, workflow.deployment_settings.deployment_method)
    yield from _in_flags(job)
    yield from _in_params(rule)
    yield from _in_names(rule, workflow, roots)
    yield from _in_resources(rule, {part for root, part in names if root == "resources"})
    if any(root in _FILES and part and hasattr(type(getattr(job, root)), part) for root, part in names):
        yield "names"  # what Snakemake finds out about the files: `{input.size_mb}`


def _in_the_rule(rule: Any) -> Iterator[str]:
    kinds = [name for name in ("script", "notebook", "wrapper", "cwl", "template_engine") if getattr(rule, name, None)]
    yield from kinds
    if rule.norun:
        yield "norun"
    elif not rule.shellcmd and not kinds:
        yield "run"
    elif not kinds and not _is_plain_text(rule):
        yield "computed"
    features = {
        "checkpoint": rule.is_checkpoint,
        "shadow": rule.shadow_depth,
        "benchmark": rule.benchmark,
        "handover": rule.is_handover,
        "cache": getattr(rule.cache, "flag", rule.cache),
        "shell_exec": "shell_exec" in rule.resources,
    }
    yield from (name for name, value in features.items() if value)


def _in_environments(job: Any, used: Collection[DeploymentMethod]) -> Iterator[str]:
    """Environments that are used, or of which Snakemake records for each job what is not known here."""
    rule = job.rule
    if rule.conda_env and (DeploymentMethod.CONDA in used or _may_differ(rule.conda_env) or not _has_conda_file(job)):
        yield "conda"
    if rule.is_containerized or (
        rule.container_img and (DeploymentMethod.APPTAINER in used or _may_differ(rule.container_img))
    ):
        yield "container"
    if rule.env_modules and DeploymentMethod.ENV_MODULES in used:
        yield "envmodules"


def _may_differ(environment: Any) -> bool:
    return bool(is_callable(environment) or contains_wildcard(environment))


def _has_conda_file(job: Any) -> bool:
    """Whether the environment is a file that can be read: Snakemake records its text. For a name it would run conda."""
    try:
        return bool(job.conda_env_spec.is_file and job.conda_env and job.conda_env.content is not None)
    except (OSError, WorkflowError):
        return False


def _is_plain_text(rule: Any) -> bool:
    """Whether the command is a text in the Snakefile, not an expression: Snakemake evaluates those again when it runs them."""
    code = rule.run_func.__code__
    if rule.run_func.__globals__.get("shell") is not shell:  # the Snakefile has one of its own
        return False
    return code.co_names == ("shell",) and rule.shellcmd in code.co_consts


def _in_flags(job: Any) -> Iterator[str]:
    if any(flag not in OUTPUT_FLAGS for file in job.output for flag in file.flags) or any(
        file.flags for file in job.log
    ):
        yield "output flag"
    if any(is_callable(what["checksum"]) for file in job.output if (what := get_flag_value(file, "ensure"))):
        yield "checksum function"


def _in_params(rule: Any) -> Iterator[str]:
    for function in filter(is_callable, rule.params):
        if takes(function, "resources", "threads"):
            yield "params resources"


def takes(function: Any, *names: str) -> bool:
    """Whether Snakemake gives a function one of these arguments; a function that cannot be looked at may take them."""
    try:
        return bool(get_input_function_aux_params(getattr(function, "callable", function), dict.fromkeys(names)))
    except (TypeError, ValueError):
        return True


def _in_names(rule: Any, workflow: Any, roots: set[str]) -> Iterator[str]:
    for name in roots - NAMES:
        is_of_run = name in rule.run_func.__code__.co_varnames or name in ("name", "rulename")
        if not name.isidentifier() or is_of_run or not is_plain_value(workflow.globals.get(name)):
            yield "names"
        elif rule.module_globals is not workflow.globals:
            yield "module"


def is_plain_value(value: Any) -> bool:
    """Whether a value is certain to be shown the same in a job; a class of the workflow's own may do anything."""
    if isinstance(value, dict):
        return type(value) is dict and all(map(is_plain_value, value.values()))
    if isinstance(value, (list, tuple)):
        return type(value) in (list, tuple) and all(map(is_plain_value, value))
    return value is None or type(value) in _PLAIN or isinstance(value, (PurePath, AnnotatedString))


def _in_resources(rule: Any, mentioned: set[str]) -> Iterator[str]:
    tmpdir = rule.resources.get("tmpdir")
    if "tmpdir" in mentioned or (tmpdir is not None and tmpdir.raw != "system_tmpdir"):
        yield "tmpdir"
    elif any(row_of(rule, name) is None for name in mentioned):
        yield "names"


def row_of(rule: Any, name: str) -> Any:
    """The resource of a rule, which Snakemake keeps in a single unit (`mem_mb`, `mem_mib` and `mem`)."""
    base = re.sub("_mi?b$", "", name)
    return next((rule.resources[known] for known in (name, f"{base}_mb", base) if known in rule.resources), None)


def names_in(template: str) -> Iterator[tuple[str, str]]:
    """Names in a command with the part that is taken of each: `{resources.mem_mb}` is `resources`, `mem_mb`."""
    try:
        fields = list(Formatter().parse(template))
    except ValueError:  # a brace alone, of which Snakemake complains in the job
        fields = [("", "", "", None)]
    for _, field, spec, _ in fields:
        if field is not None:
            found = re.match(r"([^.\[]*)(?:[.\[]([^.\]\[]*))?", field)
            yield (found[1], found[2] or "") if found else ("", "")
            yield from names_in(spec or "")
