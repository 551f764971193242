"""What rules declare → exactly what sbatch is told on Kempner, and why; a table that a person reads."""

from collections.abc import Callable

from declarations import REQUESTS
from kempner_site import SITE

from snakemake_executor_plugin_kempner.plan.asking import options_at


def test_golden_requests(golden: Callable[[str, str], None]) -> None:
    assert len(REQUESTS) >= 60
    lines = []
    for name, (resources, threads) in REQUESTS.items():
        options = options_at(SITE, name, resources, threads)
        said = ", ".join(f"{key}={value!r}" for key, value in resources.items()) or "nothing"
        lines += [f"{name}", f"  {said}; threads={threads}", f"  → {options.sbatch}"]
        lines += [f"    {fault}" for fault in options.faults]
        lines += [f"    {reason}" for reason in options.why]
        lines.append("")
    golden("requests", "\n".join(lines))
