"""What a user gives by `--config` and `envvars:` may be a password: nobody else may read it in what the plugin writes."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from head import run_detached, written
from snakefiles import Code, rule, snakefile, wanted

from snakemake_executor_plugin_kempner.sandbox import Sandbox

CONFIGURED, EXPORTED = "sesame-of-config", "sesame-of-envvars"
WORKFLOW = 'envvars: "TOKEN"\n' + snakefile(
    wanted(Code('expand("point-{n}.txt", n=range(3))'), "end.txt"),
    rule(
        "point",
        output="point-{n}.txt",
        params={"token": Code('config["token"]')},
        shell="echo {params.token} > {output}",
    ),
    rule("end", output="end.txt", shell='test "$TOKEN" = ' + EXPORTED + " && touch {output}"),
)


def told_to_all(folder: Path) -> Iterator[str]:
    """Files in which others may find a secret: with the bits of its folders."""
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink() and path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
            above = [one for one in path.parents if one.is_relative_to(folder)]
            closed = any(not one.stat().st_mode & (stat.S_IXGRP | stat.S_IXOTH) for one in above)
            content = path.read_bytes()
            if not closed and any(secret.encode() in content for secret in (CONFIGURED, EXPORTED)):
                yield str(path.relative_to(folder))


FAILS = WORKFLOW.replace("end.txt", "bad.txt", 1) + rule("bad", output="bad.txt", shell="exit 3") + "\n"


@pytest.mark.parametrize("workflow", [pytest.param(WORKFLOW, marks=pytest.mark.thorough), FAILS], ids=["well", "badly"])
def test_what_config_and_envvars_carry_is_in_no_file_that_others_may_read(
    slurm: Sandbox, tmp_path: Path, workflow: str
) -> None:
    folder = written(tmp_path / "run", workflow)
    before = os.umask(0o002)
    try:
        outcome = run_detached(slurm, folder, "--config", f"token={CONFIGURED}", TOKEN=EXPORTED)
    finally:
        os.umask(before)
    assert outcome.exit_code == int(workflow is FAILS), outcome.output
    assert set(told_to_all(folder / ".snakemake" / "kempner")) == set()
