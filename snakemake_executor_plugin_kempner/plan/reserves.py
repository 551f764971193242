"""Further attempts that cost a call for each rule, not for each task. Pure.

Slurm has no `afternotok` for each element of an array. So the second attempts of an array's tasks are an array with a start
time that never comes, a *reserve*: its elements wait for the inputs of their tasks as ever, and for a failure in the first
array. When an attempt fails, the element of the same index is *released*: it gets the dependency that it would have alone, and
may start at once (`run/release.py`). What succeeds costs nothing. If all of the first array succeed, Slurm itself takes the
reserve out of the queue (`--kill-on-invalid-dep`); after a failure the release job takes out what is not needed.

    train    0  1  2  3          --array=0-3
    train    0  1  2  3          --array=0-3 --begin=2037-01-01 --dependency=afternotok:TRAIN      the reserve
    release                      --dependency=afternotok:TRAIN_0?afternotok:TRAIN_1?…
    evaluate 0  1  2  3          --array=0-3 --dependency=aftercorr:TRAIN?aftercorr:RESERVE
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from ..options import Options
from .dependency import AnyOf, DependencyType, Ref, Term
from .model import Call, Kind, Policy, Submission

_BEGIN, _BEGIN_IN_TURN = "2037-01-01", "2037-01-02"
"""Slurm takes a later one too, but not every program that shows it. With the second one, attempts take turns because of a limit."""


def reserved(submission: Submission) -> Submission:
    """The submission, to start only when it is released."""
    return replace(submission, options=submission.options | Options({"begin": _BEGIN}))


def is_reserve(options: Options) -> bool:
    """Whether a job with these options starts only when it is released."""
    return options.get("begin") in (_BEGIN, _BEGIN_IN_TURN)


def taking_turns(call: Call) -> Call:
    """The call of a reserve whose elements, once released, wait until all of the array before them have ended."""
    options = Options({"begin": _BEGIN_IN_TURN})
    return replace(call, submissions=tuple(replace(each, options=each.options | options) for each in call.submissions))


def takes_turns(options: Options) -> bool:
    """Whether a job with these options, once released, waits until all of the array before it have ended."""
    return options.get("begin") == _BEGIN_IN_TURN


def unreserved(options: Options) -> Options:
    """The options of a job, without those that keep it in reserve."""
    return options.without("begin") if is_reserve(options) else options


def reservable(
    submissions: Sequence[Submission], policy: Policy, awaited: Collection[str], scarce: Collection[str]
) -> Callable[[Submission], bool]:
    """Which submissions may be elements of a reserve.

    Not where nobody releases them, or Slurm does not cancel what can never start. Not where tasks take turns because of a limit
    and an attempt needs another share of it than the attempt before, whose place it takes. And not where something waits for the
    end of all attempts, because a reserve may end late.

    Args:
        submissions: of the plan.
        policy: of the run.
        awaited: keys of the tasks of which something waits for the end, successful or not.
        scarce: limits that make tasks take turns.
    """
    attempts = [submission for submission in reversed(submissions) if scarce and submission.kind is Kind.TASK]
    first = {attempt.ref.task: attempt.units for attempt in attempts}

    def is_alike(submission: Submission) -> bool:
        before = first[submission.ref.task]
        return all(submission.units.get(name) == before.get(name) for name in scarce)

    def may_be(submission: Submission) -> bool:
        return (
            submission.kind is Kind.TASK
            and bool(submission.earlier)
            and submission.segments == 1
            and not submission.spared
            and not submission.shown_name  # takes turns by its name
            and (not scarce or is_alike(submission))
            and submission.ref.task not in awaited
            and "begin" not in submission.options
        )

    return may_be if policy.kill_on_invalid_dep and policy.has_reserves else lambda _submission: False


def scarce_limits(submissions: Iterable[Submission], policy: Policy) -> frozenset[str]:
    """The limits that tasks would exceed if all ran at once, each with one of its attempts."""
    if not policy.limits:
        return frozenset()
    of_task: dict[str, Counter[str]] = {}
    for submission in submissions:
        if submission.units:
            of_task[submission.ref.task] = of_task.get(submission.ref.task, Counter()) | Counter(submission.units)
    wanted = Counter[str]()
    for each in (*of_task.values(), *policy.standing_units):
        wanted.update(each)
    return frozenset(name for name, most in policy.limits.items() if wanted[name] > most)


def attempts_together(calls: Sequence[Call]) -> list[Call]:
    """The calls in another order: each reserve right after the array before it, and after what it waits for besides.

    So nothing is planned to follow an array in a place that a further attempt may still take.
    """
    numbers = {submission.ref: number for number, call in enumerate(calls) for submission in call.submissions}
    before = [_waited_for(call, numbers) for call in calls]
    behind: dict[int, list[int]] = {}
    for number, call in enumerate(calls):
        if is_reserve(call.first.options):
            behind.setdefault(numbers[earlier_array(call)], []).append(number)
    placed: dict[int, None] = {}

    def add(number: int) -> None:
        if number not in placed:
            for other in before[number]:
                add(other)
            placed[number] = None
            for reserve in behind.get(number, ()):
                add(reserve)

    for number in range(len(calls)):
        add(number)
    return [calls[number] for number in placed]


def earlier_array(reserve: Call) -> Ref:
    """An attempt of the array before a reserve."""
    terms = reserve.waits_for.terms if reserve.waits_for else ()
    return [term.on for term in terms if term.type is DependencyType.AFTERNOTOK and term.whole and term.on][-1]


def _waited_for(call: Call, numbers: Mapping[Ref, int]) -> list[int]:
    terms = call.waits_for.terms if call.waits_for else ()
    return [numbers[term.on] for term in terms if term.on and term.on in numbers]


def with_release_jobs(calls: Sequence[Call], release: Callable[[AnyOf, str], Submission]) -> Iterator[Call]:
    """The calls, with a release job for each array whose tasks have further attempts in reserve.

    Args:
        calls: in order.
        release: makes the job, given what it waits for and the name of the array.
    """
    last = {submission.ref: number for number, call in enumerate(calls) for submission in call.submissions}
    firsts = [call for call in calls if call.is_array and call.has_reserve and not is_reserve(call.first.options)]
    behind: dict[int, list[Call]] = {}
    for first in firsts:
        reserves = [ref for submission in first.submissions for ref in _attempts(submission, last)]
        behind.setdefault(max(last[ref] for ref in reserves), []).append(first)
    for number, call in enumerate(calls):
        yield call
        for first in behind.get(number, ()):
            refs = (submission.ref for submission in first.submissions)
            condition = AnyOf(tuple(Term(type=DependencyType.AFTERNOTOK, on=ref) for ref in refs))
            yield Call(submissions=(release(condition, first.job_name),), waits_for=condition)


def _attempts(submission: Submission, known: Collection[Ref]) -> Iterator[Ref]:
    refs = (Ref(submission.ref.task, number) for number in range(1, submission.attempts + 1))
    return (ref for ref in refs if ref in known)
