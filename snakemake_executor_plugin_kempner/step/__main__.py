"""`python -m snakemake_executor_plugin_kempner.step [MANIFEST] < spec`: run an attempt of a task and record its end.

An array element reads the part of its spec that differs from those of other elements from the manifest.

There are two processes: the child becomes the job's Snakemake; the parent stays small, forwards signals, checks the
outputs and records the end, so that a child killed for its memory is recorded too. What the parent does is the same in
a light job, without Snakemake (`light/`).
"""

import os
import signal
import sys

from ..plan.step import StepSpec
from .asked import Direct
from .light.around import run_job
from .light.job import read_spec
from .light.signals import give_own_group, hold_signals, let_signals_through, wait


def main() -> int:
    """Exit code of the job: 0 only when Snakemake has succeeded and every declared output exists."""
    return run_job(StepSpec.from_dict(read_spec()), Direct(), _run_snakemake)


def _run_snakemake(spec: StepSpec) -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    hold_signals()
    child = os.fork()
    if child == 0:
        _become_snakemake(spec)
    give_own_group(child)
    code = wait(child)
    if code < 0:
        print(f"kempner: Snakemake was ended by {signal.Signals(-code).name}.", file=sys.stderr)
        return 128 - code
    return code


def _become_snakemake(spec: StepSpec) -> None:
    """In the child: run Snakemake and leave, never to return into the parent's code."""
    code = 1
    try:
        let_signals_through()
        give_own_group(0)
        # The user's program must not see that it runs in an array: it may behave differently then.
        for name in [name for name in os.environ if name.startswith("SLURM_ARRAY_")]:
            del os.environ[name]
        # The spec came by standard input; the rule gets empty input, like any batch job.
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        from .snakemake_job import run

        code = run(spec)
    except SystemExit as leave:
        code = leave.code if isinstance(leave.code, int) else int(bool(leave.code))
    except BaseException:  # noqa: BLE001 - the child must not return
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    sys.exit(main())
