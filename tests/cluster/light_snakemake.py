"""`python -m snakemake` without packages that only its database backend needs: tests start it a thousand times."""

import importlib.util
import os
import sys

sys.path[0] = os.getcwd()
spec = importlib.util.find_spec("snakemake")
assert spec is not None
assert spec.origin is not None
sys.argv[0] = os.path.join(os.path.dirname(spec.origin), "__main__.py")

from snakemake_executor_plugin_kempner.adapt.imports import without_unused_packages  # noqa: E402

with without_unused_packages():
    from snakemake import cli

sys.exit(cli.main())
