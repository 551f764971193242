"""Enforces `--jobs` and `--resources` limits with Slurm's means: array throttles and `afterany` dependencies. Pure."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from ..errors import Fault, PlanError
from .dependency import AllOf, AnyOf, DependencyType, Expression, Ref, Term
from .model import Call, Kind, Policy, Submission
from .pool import STANDING
from .reserves import earlier_array, is_reserve, taking_turns
from .slots import LimitedJob, Placement, Slots, place

JOBS = "_nodes"
"""Snakemake's resource name for the number of jobs; each task takes 1."""
_TURNS = "takes turns"
_FEW = 8
"""How many rules a message lists by name."""
_ENDED = frozenset({DependencyType.AFTEROK, DependencyType.AFTERNOTOK, DependencyType.AFTERANY})


def option(limit: str) -> str:
    """The command-line option that sets a limit."""
    return "--jobs" if limit == JOBS else f"--resources {limit}"


def within_limits(
    calls: Sequence[Call], policy: Policy, gate: Callable[[Expression, str], Submission]
) -> tuple[Call, ...]:
    """The calls with throttles and dependencies that keep the limits of the policy, with and without a head.

    Args:
        calls: of sbatch, in order.
        policy: has the limits, and what is in the queue already.
        gate: makes a gate, given the expression it waits for and the reason.

    Raises:
        PlanError: tasks need more than a limit allows; lists all of them.
    """
    if not policy.limits:
        return tuple(calls)
    jobs = tuple(_jobs(calls))
    slots = place(jobs, policy.limits, policy.standing_units)
    if slots.faults:
        raise PlanError([_fault(calls[number].first, limit, policy.limits) for number, limit in slots.faults])
    return tuple(_Limited(calls, slots, policy, gate).calls())


def turns(calls: Sequence[Call], policy: Policy) -> tuple[str, ...]:
    """The message that tasks wait for each other because of a limit; empty when none does."""
    rules = dict.fromkeys(call.first.rule for call in calls if call.throttle or call.first.why.endswith(_TURNS))
    if not rules:
        return ()
    limits = ", ".join(f"{option(name)}={most}" for name, most in policy.limits.items())
    whose = (
        f"tasks of {', '.join(rules)} take turns" if len(rules) <= _FEW else f"tasks of {len(rules)} rules take turns"
    )
    return (f"To keep to {limits}, {whose}. Slurm sees to it, also when nobody watches.",)


def _fault(submission: Submission, limit: str, limits: Mapping[str, int]) -> Fault:
    what = f"needs {submission.units[limit]} of {limit}, and {option(limit)}={limits[limit]} allows less"
    of = ((submission.ref.task, submission.label),)
    return Fault(where=submission.label, what=what, remedy=f"raise {option(limit)}", tasks=of)


def _jobs(calls: Sequence[Call]) -> Iterator[LimitedJob]:
    numbers = {submission.ref: number for number, call in enumerate(calls) for submission in call.submissions}

    def ended(terms: Sequence[Term]) -> Iterator[int]:
        """Calls that have ended completely when these conditions hold."""
        for term in terms:
            number = numbers.get(term.on) if term.on else None
            if number is not None and term.type in _ENDED and (term.whole or not calls[number].is_array):
                yield number

    firsts: dict[int, int] = {}
    for number, call in enumerate(calls):
        terms = call.waits_for.terms if call.waits_for else ()
        width, needs = len(call.submissions), call.first.units
        if is_reserve(call.first.options):
            before = numbers[earlier_array(call)]
            firsts[number] = firsts.get(before, before)
            yield LimitedJob(width=width, needs=needs, instead_of=before)
            continue
        each = [numbers[term.on] for term in terms if term.type is DependencyType.AFTERCORR and term.on]
        if isinstance(call.waits_for, AnyOf):
            # An attempt of the task has succeeded: attempts before it have failed, attempts after it never start.
            alternatives = tuple(ended(terms))
            is_one_task = len({term.on.task for term in terms if term.on}) == 1 and len(alternatives) == len(terms)
            attempts = {firsts.get(array, array) for array in each}
            yield LimitedJob(
                width=width,
                needs=needs,
                after=alternatives if is_one_task else (),
                succeeded=(alternatives,) if is_one_task else (),
                each=attempts.pop() if len(attempts) == 1 and len(each) == len(terms) else None,
            )
            continue
        succeeded = tuple(
            (number,) for number in ended([term for term in terms if term.type is DependencyType.AFTEROK])
        )
        after = tuple(ended(terms))
        yield LimitedJob(width=width, needs=needs, after=after, succeeded=succeeded, each=each[0] if each else None)


class _Limited:
    def __init__(
        self, calls: Sequence[Call], slots: Slots, policy: Policy, gate: Callable[[Expression, str], Submission]
    ) -> None:
        self._calls, self._slots, self._policy, self._gate = calls, slots, policy, gate
        self._gates: dict[int, Ref] = {}
        gates = (call for call in calls if call.first.kind is Kind.GATE)
        self._planned_gates = {(gate.waits_for, gate.indices): gate for gate in gates}
        """Gates by what they wait for. One that is needed before its place comes earlier."""
        self._there: set[Ref] = set()

    def calls(self) -> Iterator[Call]:
        for call, placement in zip(self._calls, self._slots.placements, strict=True):
            if call.first.ref not in self._there:
                self._there.add(call.first.ref)
                yield from self._placed(call, placement)

    def _placed(self, call: Call, placement: Placement) -> Iterator[Call]:
        if not placement.waits_for:
            in_turn = placement.throttle and is_reserve(call.first.options)
            yield replace(taking_turns(call) if in_turn else call, throttle=placement.throttle)
            return
        for number in placement.waits_for:
            stands_for = number - len(self._calls)
            if stands_for >= 0 and stands_for not in self._gates:
                yield self._stands_for(stands_for)
        waits_for = call.waits_for
        if isinstance(waits_for, AnyOf):
            gate = self._gate_of(waits_for, call)
            if gate.first.ref not in self._there:
                self._there.add(gate.first.ref)
                yield gate
            kind = DependencyType.AFTERCORR if call.is_array else DependencyType.AFTEROK
            waits_for = AllOf((Term(type=kind, on=gate.first.ref, whole=call.is_array),))
        own = waits_for.terms if waits_for else ()
        known = {(term.on, term.whole) for term in own if term.type in _ENDED}
        turns = (term for term in self._terms(placement.waits_for) if (term.on, term.whole) not in known)
        why = "; ".join(filter(None, (call.first.why, _TURNS)))
        first = replace(call.first, why=why)
        yield replace(
            call,
            submissions=(first, *call.submissions[1:]),
            waits_for=AllOf((*own, *turns)),
            throttle=placement.throttle,
        )

    def _gate_of(self, condition: AnyOf, call: Call) -> Call:
        """The gate, or the array of gates, that stands for what a call waits for."""
        key = (condition, call.indices)
        if key not in self._planned_gates:
            why = "what a task needs is there, but it has to take turns"
            gates = tuple(self._gate(condition, why) for _ in call.submissions)
            self._planned_gates[key] = Call(submissions=gates, waits_for=condition, indices=call.indices)
        return self._planned_gates[key]

    def _stands_for(self, gate: int) -> Call:
        ends = AllOf(tuple(self._terms(self._slots.gates[gate])))
        gate_job = self._gate(ends, f"{len(ends.terms)} jobs have ended that a task takes turns with")
        self._gates[gate] = gate_job.ref
        return Call(submissions=(gate_job,), waits_for=ends)

    def _terms(self, numbers: Sequence[int]) -> Iterator[Term]:
        for number in numbers:
            if number == STANDING:
                refs = (ref for refs in self._policy.standing.values() for ref in refs if ref.task not in _HELPERS)
                yield from (Term(type=DependencyType.AFTERANY, on=ref, whole=True) for ref in refs)
            elif number >= len(self._calls):
                yield Term(type=DependencyType.AFTERANY, on=self._gates[number - len(self._calls)])
            else:
                call = self._calls[number]
                yield Term(type=DependencyType.AFTERANY, on=call.first.ref, whole=call.is_array)


_HELPERS = frozenset(kind.value for kind in Kind)
