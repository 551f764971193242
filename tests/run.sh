#!/usr/bin/env bash
# Sets up what is missing and passes all tests: linters, types, unit tests, and the tests on a private Slurm.
# Arguments go to pytest: tests/run.sh -m "not cluster", or -m thorough for more variations of what is shown on Slurm
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export KEMPNER_REQUIRE_SLURM=1
unset PYTHONDONTWRITEBYTECODE  # thousands of short processes import the package
if [ -n "${KEMPNER_CELL:-}" ]; then  # of cell.sh; linters say the same everywhere
    source .ci/setup test example
else
    source .ci/setup test lint example
    ruff check .
    ruff format --check .
    mypy
    # What stands for Slurm in the unit tests has all that the executor asks of it.
    MYPYPATH=tests mypy tests/fakes.py tests/{slurm/test_fake,cluster/test}_contract.py
    MYPYPATH=tests:benchmarks mypy benchmarks/*.py
fi
exec python -m pytest -n "${PYTEST_WORKERS:-6}" --dist worksteal --durations=20 "$@"
