"""The program of a light job: a `shell:` rule without Snakemake, site-packages and this package.

The head copies this folder into that of the run (`adapt/light.py`), and jobs start it with `python -I -S`. So its modules
import each other and a few small modules of Python: `json`, `subprocess`, `shutil` or `hashlib` alone would double what a
job costs. A job that runs Snakemake shares `around.py` and what that imports.
"""
