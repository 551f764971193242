"""Which jobs of Snakemake's DAG can be light jobs, and what those carry.

The command is formatted, and the record of its outputs prepared, by Snakemake's own code where it can be called without
the files. `tests/adapt/test_light.py` compares the record with what Snakemake records.
"""

import os
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import snakemake.persistence as records
from snakemake.io import get_flag_value, is_callable
from snakemake.shell import shell
from snakemake.utils import QuotedFormatter, SequenceFormatter

from ..plan.light import (
    FORMATS,
    INPUT_FLAGS,
    JOB_FLAGS,
    LONGEST_COMMAND,
    NAMES,
    LightRule,
    LightTask,
    reason,
)
from .obstacles import is_plain_value, names_in, obstacles_of, obstacles_of_rule, row_of
from .resources import is_constant
from .watching import Watch, reads_for_params

_UNKNOWN = "<TBD>"
"""What Snakemake writes for a value that it does not know yet."""
_SHORT = 6
"""Characters of a value that can stand in a command by chance."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Rule:
    """What the jobs of a rule have in common."""

    obstacles: frozenset[str]
    light: LightRule | None = None
    flags: tuple[tuple[str, ...], ...] = ()
    """Of each output, as far as they matter in a job."""
    ensured: tuple[Mapping[str, Any] | None, ...] = ()
    names: frozenset[str] = frozenset()
    """Names in the command, beside globals."""
    globals: Mapping[str, Any] | None = None
    """Those that the command names."""
    computed: tuple[Any, ...] = ()
    """Resources in the command that are functions."""
    computes_params: bool = False


class LightJobs:
    """Makes light jobs; the part common to all jobs of a rule is made once.

    Args:
        workflow: Snakemake's workflow object.
        of_head: folders that are deleted when the head ends.
        is_on: there are light jobs in this run.
    """

    def __init__(self, workflow: Any, of_head: Iterable[str], *, is_on: bool) -> None:
        self._workflow, self._of_head = workflow, tuple(of_head)
        self._of_all = frozenset(obstacles_of(workflow) if is_on else ("turned off",))
        self._rules: dict[Any, _Rule] = {}
        self._watch = Watch()
        self._formatter = SequenceFormatter(separator=" ")
        self._formatter.element_formatter = QuotedFormatter(None)
        variables = (os.environ.get(name, "") for name in workflow.envvars)
        secrets = (value for value in variables if len(value) >= _SHORT)
        self._secrets = tuple(text for value in secrets for text in {value, shlex.quote(value), repr(value)[1:-1]})

    def of(self, job: Any, *, threads: int, resources: Mapping[str, int | str]) -> tuple[LightRule, LightTask] | str:
        """What an attempt of a job carries as a light job; or why it is none.

        Args:
            job: with the number of the attempt.
            threads: of the attempt.
            resources: of the attempt that were evaluated.
        """
        if self._of_all:
            return reason(self._of_all)
        if job.is_group():
            return reason({"group"})
        if job.rule not in self._rules:
            self._rules[job.rule] = self._rule(job)
        rule = self._rules[job.rule]
        if str(resources.get("slurm_light", 1)) == "0":
            return reason({"slurm_light"})
        if rule.light is None:
            return reason(rule.obstacles)
        task = self._task(job, rule, threads)
        if not isinstance(task, str):
            return rule.light, task
        if task in ("params read", "resources read"):  # the workflow may keep it, and not be seen reading again
            self._rules[job.rule] = _Rule(obstacles=frozenset({task}))
        return reason({task})

    def _task(self, job: Any, rule: _Rule, threads: int) -> LightTask | str:
        """The light job of a job, or an obstacle."""
        if any(flag not in INPUT_FLAGS for file in job.input if file.flags for flag in file.flags):
            return "input flag"
        try:
            if rule.computes_params and self._reads_for_params(job):
                return "params read"
            if rule.computed and self._reads_for_resources(job, rule, threads):
                return "resources read"
            if job.rule.params and not all(map(is_plain_value, job.params)):
                return "params objects"
            command = self._formatter.vformat(job.rule.shellcmd, (), self._values(job, rule, threads))
            recorded = self._workflow.persistence._params(job) if job.rule.params else []  # noqa: SLF001
        except Exception:  # noqa: BLE001 - functions of the workflow may raise anything
            return "unknown"
        around = (rule.light.prefix, rule.light.suffix) if rule.light else ()
        return self._obstacle(command, recorded, around) or self._made(job, rule, threads, command, recorded)

    def _obstacle(self, command: str, recorded: Iterable[Any], around: Iterable[str]) -> str:
        """What is wrong with the texts that a job carries: the command, what stands around it, the params."""
        whole, texts = " ".join((command, *around)), (command, *around, *map(str, recorded))
        if any(_UNKNOWN in text for text in texts):
            return "unknown"
        if any(secret in text for secret in self._secrets for text in texts):
            return "secret"
        if any(place in text for place in self._of_head for text in texts):
            return "sources"
        return "long" if len(whole.replace("'", r"'\''")) > LONGEST_COMMAND else ""

    @staticmethod
    def _made(job: Any, rule: _Rule, threads: int, command: str, recorded: Iterable[Any]) -> LightTask:
        outputs = tuple(map(str, job.output))
        return LightTask(
            command=command,
            threads=threads,
            outputs=dict(zip(outputs, rule.flags, strict=True)),
            logs=tuple(map(str, job.log)) if job.rule.log else (),
            ensured={path: what for path, what in zip(outputs, rule.ensured, strict=True) if what},
            params=tuple(map(str, recorded)),
            job_hash=hash(job),
        )

    @staticmethod
    def _values(job: Any, rule: _Rule, threads: int) -> dict[str, Any]:
        """Values of the names in the command."""
        known = {**(rule.globals or {}), "wildcards": job.wildcards}
        known |= {"input": job.input._plainstrings(), "output": job.output._plainstrings()}  # noqa: SLF001
        known |= {"threads": threads, "rule": job.rule.name}
        if "params" in rule.names:
            known["params"] = job.params
        if "log" in rule.names:
            known["log"] = job.log._plainstrings()  # noqa: SLF001
        if "resources" in rule.names:
            known["resources"] = job.resources
        return known

    @staticmethod
    def _reads_for_params(job: Any) -> bool:
        """Whether a function of the params looks at files, whose content may differ in the job."""
        _ = job.params  # evaluated now, if it was not before
        return reads_for_params(job.rule)

    def _reads_for_resources(self, job: Any, rule: _Rule, threads: int) -> bool:
        """Whether a function of a resource in the command looks at files; its value may differ in the job."""
        for resource in rule.computed:
            with self._watch:
                job.rule.apply_input_function(
                    resource.evaluate,
                    job.wildcards_dict,
                    input=job.input,
                    attempt=job.attempt,
                    threads=threads,
                    rulename=job.rule.name,
                    async_run=self._workflow.async_run,
                )
            if self._watch.noticed:
                return True
        return False

    # --- of a rule --------------------------------------------------------------------------------------------------

    def _rule(self, job: Any) -> _Rule:
        rule, workflow = job.rule, self._workflow
        names = set(names_in(rule.shellcmd or ""))
        mentioned = {part for root, part in names if root == "resources"}
        roots = {root for root, _ in names}
        obstacles = set(obstacles_of_rule(job, workflow, names))
        if obstacles:
            return _Rule(obstacles=frozenset(obstacles))
        execution = workflow.execution_settings
        made = LightRule(
            place=f'rule {rule.name} in file "{rule.snakefile}", line {rule.lineno}',
            shell=_shell(),
            prefix=shell._get_process_prefix(),  # noqa: SLF001 - has no other name
            suffix=shell._process_suffix,  # noqa: SLF001
            tmpdir="tmpdir" in rule.resources,
            keep_incomplete=execution.keep_incomplete,
            notes=str(workflow.persistence.path),
            record=self._record(job) if execution.keep_metadata else {},
            max_checksum_size=workflow.dag_settings.max_checksum_file_size,
        )
        ensured = tuple(_ensured(file) for file in job.output)
        computed = tuple(
            row for name in mentioned if (row := row_of(rule, name)).is_evaluable() and not is_constant(row.raw)
        )
        return _Rule(
            obstacles=frozenset(),
            light=made,
            flags=tuple(tuple(flag for flag in JOB_FLAGS if flag in file.flags) for file in job.output),
            ensured=ensured,
            names=frozenset(roots),
            globals={name: workflow.globals[name] for name in roots - NAMES},
            computed=computed,
            computes_params=any(map(is_callable, rule.params)),
        )

    def _record(self, job: Any) -> dict[str, Any]:
        """The record of an output, with what all jobs of the rule have in common."""
        persistence = self._workflow.persistence
        record = dict.fromkeys(FORMATS[records.RECORD_FORMAT_VERSION])
        return record | {
            "rule": job.rule.name,
            "code": persistence._code(job.rule),  # noqa: SLF001
            "record_format_version": records.RECORD_FORMAT_VERSION,
            "conda_env": persistence._conda_env(job),  # noqa: SLF001
            "container_img_url": job.container_img_url,
            "software_stack_hash": persistence._software_stack_hash(job),  # noqa: SLF001
            "incomplete": False,
        }


def _ensured(file: Any) -> Mapping[str, Any] | None:
    what = get_flag_value(file, "ensure")
    if not what:
        return None
    algorithm = what["checksum_algorithm"]
    return {"non_empty": bool(what["non_empty"]), "checksum": f"{algorithm}:{what['checksum']}" if algorithm else ""}


def _shell() -> str:
    """The shell as a job finds it: by PATH, if that is how this process has found it."""
    path = str(shell.get_executable())
    name = os.path.basename(path)
    return name if _first_in_path(name, os.get_exec_path()) == path else path


def _first_in_path(name: str, places: Iterable[str]) -> str | None:
    paths = (os.path.join(place, name) for place in places)
    return next((path for path in paths if os.path.isfile(path) and os.access(path, os.X_OK)), None)
