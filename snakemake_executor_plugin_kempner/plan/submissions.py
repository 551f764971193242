"""Tasks → submissions. The only place that decides what waits for what."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import count

from ..layout import CLOSING_JOB_LOG
from ..options import Options
from .arrays import in_calls
from .concurrency import within_limits
from .dependency import AllOf, AnyOf, DependencyType, Expression, Ref, Term, all_of
from .handlers import may_not_be_needed
from .jobscript import continuation_script, gate_script, guard_script, release_script
from .lengths import in_pieces
from .model import LOOK_AFTER, Call, Kind, Policy, Submission
from .place import LIMITS, place_of_helpers
from .reserves import attempts_together, reservable, scarce_limits, with_release_jobs
from .resources import TaskOptions
from .task import Attempt, Deferred, Edge, Task, Turn

_NAME_LENGTH = 60
_NAMED = 100
"""Up to how many tasks a gate's reference lists by key."""
_SPARED = frozenset({Kind.GATE, Kind.GUARD, Kind.CLOSING})
"""Kinds that stay in the queue when the run stops after a failure."""
_COMES_AGAIN = frozenset({Kind.RELEASE, Kind.CONTINUATION, Kind.CLOSING})
"""Kinds that start once more when their node fails, or, while a head lives, because they ask for it."""


@dataclass(kw_only=True)
class Submissions:
    """Submissions of tasks and helper jobs, in an order that Slurm accepts."""

    policy: Policy
    options: Mapping[tuple[str, int], TaskOptions]
    made: list[Submission] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._numbers = count(self.policy.first_number)
        self._gate_numbers, self._release_numbers = count(1), count()
        self._attempts: dict[str, tuple[Ref, ...]] = dict(self.policy.standing)
        self._gates: dict[str, Ref] = {}
        self._labels: dict[str, str] = {}
        self._awaited: set[str] = set()
        """Tasks of which something waits for the end, successful or not."""
        self.place = place_of_helpers(self.options.values(), self.policy.site)
        kill = {"kill-on-invalid-dep": "yes"} if self.policy.kill_on_invalid_dep else {}
        common = (
            Options({"chdir": self.policy.workdir, "open-mode": "append", "export": "ALL", **kill}) | self.policy.at
        )
        self._with_common = cache(common.__or__)

    def calls(self) -> Iterator[Call]:
        """The submissions added so far, as calls of sbatch."""
        scarce = scarce_limits(self.made, self.policy)
        may_be_reserve = reservable(self.made, self.policy, self._awaited, scarce)
        calls: Sequence[Call] = in_calls(self.made, self.policy.largest_array, may_be_reserve)
        if scarce:
            calls = attempts_together(calls)
        calls = tuple(with_release_jobs(calls, self._release_for))
        return in_pieces(within_limits(calls, self.policy, self._gate_for), self._gate_for)

    def said(self) -> Iterator[str]:
        """The notice about where helper jobs run, if there are any."""
        if self.place.notice and any(submission.kind is not Kind.TASK for submission in self.made):
            yield self.place.notice

    def _gate_for(self, expression: Expression, words: str) -> Submission:
        ref = Ref(f"{Kind.GATE.value} {self.policy.first_number}.{next(self._gate_numbers)}", 0)
        return self._tiny(Kind.GATE, ref, words, gate_script(words), (expression, words))

    def _release_for(self, condition: AnyOf, array: str) -> Submission:
        ref = Ref(Kind.RELEASE.value, self.policy.first_number + next(self._release_numbers))
        script = release_script(self.policy.python, self.policy.folder, array)
        return self._tiny(Kind.RELEASE, ref, Kind.RELEASE.value, script, (condition, "an attempt has failed"))

    def add(self, task: Task) -> None:
        """Queue every attempt of a task; each waits until all attempts before it have failed.

        Attempt k carries the task's own edges too: `afternotok` also holds when the attempt before was
        cancelled because an input failed, and then there is no input to run on. It names all earlier attempts,
        not only the last: when the first succeeds, the second is cancelled, which is "not ok" again.
        """
        refs = list(self.policy.standing.get(task.key, ()))  # of an earlier head, which died before queueing the rest
        self._labels[task.key] = label = task.label
        self._awaited |= {edge.on for edge in task.edges if edge.type is DependencyType.AFTERANY}
        for attempt in task.attempts:
            ref = Ref(task.key, attempt.number)
            self.made.append(self._submission(task, label, attempt, ref, refs))
            refs.append(ref)
        self._attempts[task.key] = tuple(refs)

    def _submission(self, task: Task, label: str, attempt: Attempt, ref: Ref, earlier: Sequence[Ref]) -> Submission:
        waits_for = self._waits_for(task, earlier)
        name, number = _job_name(task.name), next(self._numbers)
        turn, last = (Turn.of(of.number, of.segments) for of in (attempt, task.attempts[-1]))
        options = self.options[task.key, attempt.number]
        array_from = self.policy.array_from if options.array_from is None else options.array_from
        return Submission(
            ref=ref,
            kind=Kind.TASK,
            label=label,
            rule=task.name,
            job_name=f"{self.policy.prefix}{name}.{self.policy.run}.{number}",
            shown_name=f"{self.policy.prefix}{name}" if task.singleton else "",
            options=self._with_common(options.sbatch),
            step=attempt.step,
            stops=turn.attempt == last.attempt and not self.policy.keep_going,
            log=f"{self.policy.log_folder}/{name}/{_file_name(task)}.{_of_log(turn)}.%j.log",
            waits_for=waits_for,
            why=_why(task, earlier, turn),
            earlier=tuple(earlier),
            attempts=task.attempts[-1].number,
            segments=attempt.segments,
            edges=task.edges,
            members=task.members,
            logs=task.logs,
            spared=task.may_follow_failure,
            content=task.content,
            units=attempt.units,
            # Singletons take turns by their name, which elements of an array have in common.
            array_from=0 if task.singleton else array_from,
        )

    def _waits_for(self, task: Task, earlier: Sequence[Ref]) -> Expression | None:
        edges = task.edges
        if not earlier and not task.singleton and len(edges) == 1 and edges[0].type is DependencyType.AFTEROK:
            refs = self._attempts[edges[0].on]
            if len(refs) > 1:
                return AnyOf(tuple(Term(type=DependencyType.AFTEROK, on=ref) for ref in refs))
        terms = [term for edge in edges for term in self._terms(edge)]
        terms += [Term(type=DependencyType.AFTERNOTOK, on=ref) for ref in earlier]
        if task.singleton:
            terms.append(Term(type=DependencyType.SINGLETON, on=None))
        return all_of(terms)

    def _terms(self, edge: Edge) -> list[Term]:
        """One edge as conditions that must all hold."""
        refs = self._attempts[edge.on]
        match edge.type:
            case DependencyType.AFTEROK if len(refs) > 1:
                return [Term(type=DependencyType.AFTEROK, on=self._gate(edge.on, refs))]
            case DependencyType.AFTER:
                return [Term(type=DependencyType.AFTER, on=refs[0], minutes=edge.minutes)]
            case _:
                return [Term(type=edge.type, on=ref) for ref in refs]

    def _gate(self, key: str, refs: tuple[Ref, ...]) -> Ref:
        """The gate that waits until any of these attempts has succeeded; made when first needed."""
        if key not in self._gates:
            label = self._labels.get(key, key)
            any_attempt = AnyOf(tuple(Term(type=DependencyType.AFTEROK, on=ref) for ref in refs))
            condition = (any_attempt, f"one of {len(refs)} attempts of {label} has succeeded")
            script = gate_script(f"one attempt of {label.partition('[')[0]} has succeeded")
            gate = self._tiny(Kind.GATE, Ref(key, 0), label, script, condition)
            self.made.append(replace(gate, array_from=self.policy.array_from))
            self._gates[key] = gate.ref
        return self._gates[key]

    def add_guard(self, tasks: Sequence[Task]) -> None:
        """Queue the guard, which starts after the first failure of any task.

        A task with retries is represented by its gate, which is COMPLETED when an attempt succeeds and CANCELLED when
        all have failed. A failure handler that is not needed is cancelled too, and that is no failure. Where Slurm
        does not cancel jobs with unsatisfiable dependencies, the guard starts after each end of a job.
        """
        handlers = may_not_be_needed(tasks)
        terms: list[Term] = []
        for task in tasks:
            refs = self._attempts[task.key]
            if not self.policy.kill_on_invalid_dep:
                terms += (Term(type=DependencyType.AFTERANY, on=ref) for ref in refs)
            elif task.key not in handlers:
                ref = refs[0] if len(refs) == 1 else self._gate(task.key, refs)
                terms.append(Term(type=DependencyType.AFTERNOTOK, on=ref))
        if terms:
            ref = Ref(Kind.GUARD.value, self.policy.first_number)
            script = guard_script(self.policy.python, self.policy.folder)
            self._add_tiny(Kind.GUARD, ref, Kind.GUARD.value, script, (AnyOf(tuple(terms)), "something has failed"))

    def add_closing(self, deferred: Sequence[Deferred]) -> Expression | None:
        """Queue the jobs that carry on the run without a head.

        A single continuation waits for the tasks that decide about deferred ones (two could run at the same time). The
        closing job waits for the end of every job of the run.

        Returns: The new dependency of the closing job of an earlier plan; None without such a job, or if a new closing
            job was queued.
        """
        number = self.policy.first_number
        sets = dict.fromkeys((entry.however, tuple(sorted(entry.awaits))) for entry in deferred if entry.awaits)
        waits_for_any = tuple(dict.fromkeys(term for however, awaited in sets for term in self._once(awaited, however)))
        ends = [ref for refs in self._attempts.values() for ref in refs]
        if waits_for_any:
            reached = (AnyOf(waits_for_any), "further tasks can be planned")
            ends.append(self._add_ours(Kind.CONTINUATION, number, reached))
        standing = {ref for refs in self.policy.standing.values() for ref in refs}
        # For arrays of earlier plans, the whole array is named, ended elements included: that is shorter.
        condition = AllOf(tuple(Term(type=DependencyType.AFTERANY, on=ref, whole=ref in standing) for ref in ends))
        if all(ref.task in LOOK_AFTER for ref in ends) or (self.policy.closing is not None and not self.made):
            return None
        if self.policy.closing is not None:
            return condition
        self._add_ours(Kind.CLOSING, number, (condition, "all jobs have ended"))
        return None

    def _once(self, awaited: Sequence[str], however: bool) -> tuple[Term, ...]:
        """Terms of which any holds when all these tasks have succeeded (`however`: their first attempts have ended)."""
        if len(awaited) == 1 and not however:
            return tuple(Term(type=DependencyType.AFTEROK, on=ref) for ref in self._attempts[awaited[0]])
        if however:
            # Not of all attempts: they could not wait in reserve then, and would be thousands of calls.
            ends = [Term(type=DependencyType.AFTERANY, on=self._attempts[key][0]) for key in awaited]
            words = f"the first attempts of {len(awaited)} tasks have ended"
        else:
            ends = [term for key in awaited for term in self._terms(Edge(on=key))]
            words = f"{len(awaited)} tasks have succeeded that decide which tasks follow"
        # Named after the tasks it stands for, as a task's gate is named after the task.
        name = Ref("+".join(awaited) if len(awaited) < _NAMED else f"{len(awaited)} from {awaited[0]}", -however)
        condition = (AllOf(tuple(ends)), words)
        ref = self._add_tiny(Kind.GATE, name, f"{len(awaited)} tasks", gate_script(words), condition)
        return (Term(type=DependencyType.AFTEROK, on=ref),)

    def _add_ours(self, kind: Kind, number: int, condition: tuple[Expression, str]) -> Ref:
        script = continuation_script(self.policy.python, self.policy.folder, kind.value)
        return self._add_tiny(kind, Ref(kind.value, number), kind.value, script, condition)

    def _add_tiny(self, kind: Kind, ref: Ref, label: str, script: str, condition: tuple[Expression, str]) -> Ref:
        self.made.append(self._tiny(kind, ref, label, script, condition))
        return ref

    def _tiny(self, kind: Kind, ref: Ref, label: str, script: str, condition: tuple[Expression, str]) -> Submission:
        """A small helper job; `condition` is the expression it waits for and its meaning in words."""
        number = next(self._numbers)
        log = f"{self.policy.log_folder}/{kind.value}s/{number}.%j.log"
        options = self.place.options | LIMITS[kind]
        if kind in (Kind.CONTINUATION, Kind.CLOSING):
            log = f"{self.policy.folder}/{kind.value}.log"  # people look for it: without a number in its name
        if kind in _COMES_AGAIN:
            options |= Options({"requeue": None})
        if kind is Kind.CLOSING:
            log = f"{self.policy.folder}/{CLOSING_JOB_LOG}"
            options |= self.policy.closing_options
        return Submission(
            ref=ref,
            kind=kind,
            label=label,
            job_name=f"{self.policy.prefix}{kind.value}.{self.policy.run}.{number}",
            options=self._with_common(options),
            script=script,
            log=log,
            waits_for=condition[0],
            why=f"{kind.value}: {condition[1]}",
            spared=kind in _SPARED,
        )


def _of_log(turn: Turn) -> str:
    return f"attempt{turn.attempt}" + (f".segment{turn.segment}" if turn.segments > 1 else "")


def _why(task: Task, earlier: Sequence[Ref], turn: Turn) -> str:
    reasons = []
    if task.edges:
        reasons.append("needs its input" if len(task.edges) == 1 else f"needs {len(task.edges)} tasks before it")
    if turn.segment > 1:
        reasons.append(f"goes on with the work of segment {turn.segment - 1}")
    elif earlier:
        reasons.append(f"retry after attempt {turn.attempt - 1} has failed")
    return "; ".join(reasons)


_UNSAFE = re.compile(r"[^A-Za-z0-9_.=+-]+")


@cache
def _job_name(name: str) -> str:
    return _UNSAFE.sub("_", name)[:_NAME_LENGTH]


def _file_name(task: Task) -> str:
    wildcards = ",".join(f"{key}={value}" for key, value in task.wildcards.items())
    # The key makes it unique where two values differ only in characters that a file name cannot have.
    return f"{_UNSAFE.sub('_', wildcards)[:_NAME_LENGTH]}.{task.key[:8]}".lstrip(".")
