"""`python -m snakemake_executor_plugin_kempner`: the same as `kempner`."""

from .cli.main import main

if __name__ == "__main__":
    main()
