"""The plan of a run from its records: ledgers, and what was kept of each call of sbatch."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import count
from pathlib import Path, PurePath
from typing import Any

from ..errors import KempnerError
from ..layout import ARRAYS, SCRIPTS
from ..options import NO_OPTIONS, Options
from ..plan.dependency import AllOf, AnyOf, DependencyType, Expression, Ref, Term, all_of
from ..plan.jobscript import spec_in
from ..plan.manifest import line_of
from ..plan.model import Call, Kind, Submission
from ..plan.order import in_order
from ..plan.task import Edge
from ..run.ledger_record import Entry, LedgerRecord
from ..run.scripts import KeptCall, kept_calls
from .bash import Script
from .work import Work, precommand_and_python, work_of

_PLACE = ("partition", "account", "qos", "clusters", "chdir")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Recorded:
    call: Call
    specs: Mapping[Ref, Mapping[str, Any]]
    python: str
    precommand: str


def recorded_script(ledgers: Sequence[LedgerRecord], command: str, later: Sequence[str]) -> Script:
    """What a run has submitted, with the runs that it has taken over; the last submission of each attempt counts.

    Args:
        ledgers: oldest first.
        command: that began the run.
        later: as in `Script`.

    Raises:
        KempnerError: the run has submitted nothing, or what its jobs run was not kept.
    """
    recorded = tuple(_recorded(ledgers))
    if not any(known.call.first.kind is Kind.TASK for known in recorded):
        raise KempnerError(f"Run {ledgers[-1].run} has submitted no task: there is nothing to export.")
    specs = {ref: spec for known in recorded for ref, spec in known.specs.items()}
    calls = _ordered(_Completed(_at_one_cluster([known.call for known in recorded]), specs).calls())
    python = next((known.python for known in recorded if known.python), "python3")
    workdir = recorded[0].call.first.options.get("chdir")
    works: dict[Ref, Work] = {ref: work_of(spec, ref.task, workdir, python) for ref, spec in specs.items()}
    return Script(
        run=ledgers[-1].run,
        calls=calls,
        works=works,
        workdir=workdir,
        precommand=recorded[-1].precommand,
        command=command,
        later=later,
    )


def _at_one_cluster(calls: Sequence[Call]) -> list[Call]:
    """The calls, each with the run's cluster: those of the run's own jobs, which submit where they run, do not name it."""
    at = next((found for call in calls if (found := call.first.options.only("clusters"))), NO_OPTIONS)
    return [
        replace(call, submissions=tuple(replace(known, options=known.options | at) for known in call.submissions))
        for call in calls
    ]


def _recorded(ledgers: Iterable[LedgerRecord]) -> Iterator[_Recorded]:
    entries = [
        entry
        for ledger in ledgers
        for entry in ledger.entries
        if entry.kind in (Kind.TASK.value, Kind.GATE.value) and entry.job_id
    ]
    last = {Ref(entry.task, entry.attempt): entry for entry in entries}
    by_call: dict[tuple[str, str], list[Entry]] = {}
    for entry in last.values():
        by_call.setdefault((entry.folder, entry.job_name), []).append(entry)
    kept_of = cache(lambda folder: kept_calls(Path(folder)))
    for (folder, job_name), elements in by_call.items():
        kept = kept_of(folder).get(job_name)
        if kept is None:
            raise KempnerError(
                f"What {elements[0].label} runs was not kept in {folder}/{SCRIPTS}, so the run cannot be exported: it was "
                "begun by an earlier version of the plugin, or the file is damaged. --kempner-export exports the workflow as it is now."
            )
        yield _recorded_call(elements, kept, Path(folder) / ARRAYS / job_name)


def _recorded_call(elements: Sequence[Entry], kept: KeptCall, manifest: Path) -> _Recorded:
    elements = sorted(elements, key=lambda entry: entry.index or 0)
    call = Call(
        submissions=tuple(map(_submission, elements)),
        waits_for=kept.waits_for,
        indices=tuple(entry.index for entry in elements if entry.index is not None),
        throttle=kept.throttle,
    )
    if call.first.kind is Kind.GATE:
        return _Recorded(call=call, specs={}, python="", precommand="")
    try:
        common = spec_in(kept.script)
        beside = manifest.read_bytes() if manifest.exists() else b""
        own = [line_of(beside, entry.index or 0) if beside else {} for entry in elements]
    except (OSError, ValueError) as error:
        raise KempnerError(f"What {call.first.label} runs cannot be read: {error}") from error
    precommand, python = precommand_and_python(kept.script)
    refs = (submission.ref for submission in call.submissions)
    specs = {ref: common | mine for ref, mine in zip(refs, own, strict=True)}
    return _Recorded(call=call, specs=specs, python=python, precommand=precommand)


def _submission(entry: Entry) -> Submission:
    singleton = "singleton" in entry.dependency
    return Submission(
        ref=Ref(entry.task, entry.attempt),
        segments=entry.segments,
        kind=Kind(entry.kind),
        label=entry.label,
        rule=entry.label.partition("[")[0] if entry.kind == Kind.TASK.value else "",
        job_name=entry.job_name,
        shown_name=entry.options.get("job-name") if singleton else "",
        options=entry.options,
        log=entry.log,
        edges=entry.edges,
    )


class _Completed:
    """Adds what a dependency does not say because it had come true, and a later plan did not know the task any more.

    Args:
        calls: of all plans of the run.
        specs: what each attempt runs.
    """

    def __init__(self, calls: Sequence[Call], specs: Mapping[Ref, Mapping[str, Any]]) -> None:
        self._calls, self._specs = list(calls), specs
        self._of_ref = {submission.ref: call for call in calls for submission in call.submissions}
        self._attempts: dict[str, list[Ref]] = {}
        for ref in sorted(specs):
            self._attempts.setdefault(ref.task, []).append(ref)
        self._makers = {file: ref.task for ref, spec in specs.items() for file in _outputs(spec)}
        self._numbers = count(1)
        self._gates: list[Call] = []

    def calls(self) -> tuple[Call, ...]:
        completed = [self._complete(call) for call in self._calls]
        return (*self._gates, *completed)

    def _complete(self, call: Call) -> Call:
        """The call, with a term for each task that it needs and its dependency does not lead to."""
        waits_for = _without_unknown(call.waits_for, self._of_ref)
        if call.first.kind is Kind.GATE:
            return replace(call, waits_for=waits_for)
        covered = self._covered(waits_for)
        own = {submission.ref.task for submission in call.submissions}
        edges = dict.fromkeys(
            edge
            for submission in call.submissions
            for edge in (*submission.edges, *self._made_by(self._specs[submission.ref]))
            if edge.on in self._attempts and edge.on not in covered | own
        )
        if not edges:
            return replace(call, waits_for=waits_for)
        if isinstance(waits_for, AnyOf):
            waits_for = AllOf((self._gate(waits_for, call),))
        terms = [*(waits_for.terms if waits_for else ()), *(self._term(edge, call) for edge in edges)]
        return replace(call, waits_for=all_of(terms))

    def _made_by(self, spec: Mapping[str, Any]) -> Iterator[Edge]:
        """Edges to the tasks whose outputs it reads; an output may be a folder above."""
        for file in spec["wait_for"]:
            for path in (file, *map(str, PurePath(file).parents)):
                if path in self._makers:
                    yield Edge(on=self._makers[path])

    def _covered(self, expression: Expression | None) -> set[str]:
        """Keys of the tasks that an expression waits for, itself or by its gates."""
        found: set[str] = set()
        for term in expression.terms if expression else ():
            call = self._of_ref[term.on] if term.on else None
            if call is None or term.on is None:
                continue
            whole = term.whole or term.type is DependencyType.AFTERCORR
            found |= {submission.ref.task for submission in call.submissions} if whole else {term.on.task}
            if call.first.kind is Kind.GATE:
                found |= self._covered(call.waits_for)
        return found

    def _term(self, edge: Edge, call: Call) -> Term:
        refs = self._attempts[edge.on]
        if edge.type is DependencyType.AFTEROK and len(refs) > 1:
            gate = Ref(edge.on, 0)
            if gate in self._of_ref:
                return Term(type=edge.type, on=gate)
            return self._gate(AnyOf(tuple(Term(type=edge.type, on=ref) for ref in refs)), call)
        return Term(type=edge.type, on=refs[-1], minutes=edge.minutes)

    def _gate(self, expression: AnyOf, call: Call) -> Term:
        """A gate that stands for the expression, where the jobs of the call run."""
        ref = Ref(f"{Kind.GATE.value} of the export {next(self._numbers)}", 0)
        options = call.first.options.only(*_PLACE) | Options({"time": "1"})
        gate = Submission(ref=ref, kind=Kind.GATE, label=call.first.label, job_name=ref.task, options=options, log="")
        self._gates.append(Call(submissions=(gate,), waits_for=expression))
        return Term(type=DependencyType.AFTEROK, on=ref)


def _outputs(spec: Mapping[str, Any]) -> Iterable[str]:
    return tuple(spec["light"]["outputs"] if spec["light"] else spec["outputs"])


def _without_unknown(expression: Expression | None, known: Mapping[Ref, Call]) -> Expression | None:
    """Without terms about jobs that are no tasks or gates of the export."""
    if expression is None:
        return None
    terms = tuple(term for term in expression.terms if term.on is None or term.on in known)
    return type(expression)(terms) if terms else None


def _ordered(calls: Sequence[Call]) -> tuple[Call, ...]:
    """Each call after those that it waits for."""
    place = {submission.ref: number for number, call in enumerate(calls) for submission in call.submissions}
    needs = {
        number: [place[term.on] for term in (call.waits_for.terms if call.waits_for else ()) if term.on in place]
        for number, call in enumerate(calls)
    }
    if all(before < number for number, others in needs.items() for before in others):
        return tuple(calls)
    return tuple(calls[number] for number in in_order(needs))
