"""The command line: `python -m snakemake_executor_plugin_kempner.sandbox up | down | status | run -- CMD…`.

Messages go to standard error; `up` writes only the line to type next to standard output, so that `eval "$(… up)"`
works. `run` writes nothing of its own to standard output.
"""

import argparse
import random
import re
import shlex
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from . import daemons
from .ending import keep_watch, take_down
from .errors import AlreadyRunning, NotRunning, SandboxError
from .folder import Folder
from .options import DEFAULT_NODES, Node, SandboxOptions
from .sandbox import Sandbox

DEFAULT_FOLDER = Path("~/.cache/snakemake-kempner-sandbox")
NODE = re.compile(r"(?P<name>[A-Za-z][\w-]*):(?P<cpus>\d+):(?P<memory>\d+)(:(?P<gpu>\w+):(?P<gpus>\d+))?")
NOT_UP = 3
"""Exit status of `status` when there is no sandbox, as of `systemctl status`."""

EPILOG = """\
A sandbox is a real Slurm on this machine, with nodes, GPUs and partitions that only look like Kempner's: to try a
workflow before the cluster. Its jobs really run here, as many at once as its nodes have cores: give it smaller nodes
(--node) for a workflow whose jobs are heavy.
"""


def main(words: Sequence[str] | None = None) -> int:
    """Do what the command line says and return its exit status."""
    arguments = _parser().parse_args(words)
    try:
        status: int = arguments.act(arguments)
    except SandboxError as error:
        _say(f"sandbox: {error}")
        return 1
    return status


def _up(arguments: argparse.Namespace) -> int:
    began = time.monotonic()
    try:
        sandbox = Sandbox.start(
            arguments.folder, accounting=arguments.accounting, options=_options(arguments), keep=True
        )
    except AlreadyRunning:
        sandbox = Sandbox.attach(arguments.folder)
        _say(f"A sandbox is up already in {sandbox.folder}. Type:")
    else:
        _say(sandbox.run("sinfo").rstrip())
        _say(f"A sandbox is up after {time.monotonic() - began:.1f} s in {sandbox.folder}. Type:")
    if sandbox.conf.parent != sandbox.folder:
        _say(f"(Slurm cannot stand that folder's name; it is reached as {sandbox.conf.parent}.)")
    print(_what_to_type(sandbox), flush=True)
    _say(f"and in the end: {_command('down', arguments.folder)}")
    return 0


def _down(arguments: argparse.Namespace) -> int:
    home = Folder(arguments.folder.expanduser().absolute())
    if home.read() is None:
        _say(f"No sandbox is up in {home.path}.")
        return 0
    with home.locked():
        take_down(home)
    _say(f"The sandbox is down; its logs are in {home.log}.")
    return 0


def _status(arguments: argparse.Namespace) -> int:
    try:
        sandbox = Sandbox.attach(arguments.folder)
    except NotRunning as error:
        _say(f"{error}. To start one: {_command('up', arguments.folder)}")
        return NOT_UP
    print(_what_to_type(sandbox))
    print(sandbox.run("sinfo", timeout=10), end="")
    print(sandbox.run("squeue", timeout=10), end="")
    return 0


def _run(arguments: argparse.Namespace) -> int:
    if not arguments.command:
        _say("sandbox: nothing to run; write the command after --")
        return 2
    with Sandbox.start(arguments.folder, accounting=arguments.accounting, options=_options(arguments)) as sandbox:
        _say(f"A sandbox is up with SLURM_CONF={sandbox.conf}")
        return _in_foreground(arguments.command, sandbox.environment)


def _keep(arguments: argparse.Namespace) -> int:
    keep_watch(arguments.folder)
    return 0


def _in_foreground(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run the user's command and return its exit status as a shell would give it.

    Ctrl-C reaches the command from the terminal; it decides, and the sandbox stays up until it has ended. When this
    process is killed, its keeper takes the sandbox down.
    """
    missed: list[int] = []
    # Not SIG_IGN, which the command would inherit.
    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, lambda *_: None),
        signal.SIGTERM: signal.signal(signal.SIGTERM, lambda number, _: missed.append(number)),
    }
    try:
        child = daemons.foreground(command, environment)
        before[signal.SIGHUP] = signal.signal(signal.SIGHUP, lambda number, _: child.send_signal(number))
        signal.signal(signal.SIGTERM, lambda number, _: child.send_signal(number))
        for number in missed:  # SIGTERM that arrived before the command was started
            child.send_signal(number)
        status = child.wait()
    except FileNotFoundError:
        _say(f"sandbox: {command[0]}: command not found")
        return 127
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return status if status >= 0 else 128 - status


def _options(arguments: argparse.Namespace) -> SandboxOptions:
    return SandboxOptions(
        nodes=tuple(arguments.node) or DEFAULT_NODES,
        fast_scheduling=not arguments.slow,
        enforce_memory=arguments.enforce_memory,
        first_job_id=arguments.first_job_id or 10_000 * random.randint(1, 6000) + 1,  # noqa: S311
        slurm_conf=tuple(arguments.conf),
    )


def _node(text: str) -> Node:
    match = NODE.fullmatch(text)
    if match is None:
        msg = f"{text!r} is not NAME:CPUS:MEMORY_MB or NAME:CPUS:MEMORY_MB:GPU:COUNT"
        raise argparse.ArgumentTypeError(msg)
    return Node(
        name=match["name"],
        cpus=int(match["cpus"]),
        memory_mb=int(match["memory"]),
        gpu=match["gpu"],
        gpus=int(match["gpus"] or 0),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"python -m {__package__}", description="A private Slurm on this machine.", epilog=EPILOG
    )
    acts = parser.add_subparsers(required=True, metavar="up | down | status | run")
    shape = _shape()

    def add(
        name: str, act: Callable[[argparse.Namespace], int], text: str | None, **more: object
    ) -> argparse.ArgumentParser:
        words = {} if text is None else {"help": text, "description": text}
        added = acts.add_parser(name, epilog=EPILOG, **words, **more)  # type: ignore[arg-type]
        added.set_defaults(act=act)
        return added

    up = add("up", _up, "start a sandbox that lives until it is taken down", parents=[shape])
    down = add("down", _down, "end the sandbox and all its jobs")
    status = add("status", _status, "show the sandbox, its nodes and its jobs; exit status 3: there is none")
    for subparser in (up, down, status):
        subparser.add_argument(
            "--folder", type=Path, default=DEFAULT_FOLDER, help="where it lives (default: %(default)s)"
        )
    run = add("run", _run, "run a command with a sandbox around it and return its exit status", parents=[shape])
    run.add_argument("--folder", type=Path, help="where it lives, to keep the logs (default: a temporary folder)")
    run.add_argument("command", nargs="*", metavar="-- CMD", help="the command and its arguments")
    add("keep", _keep, None).add_argument("folder", type=Path)  # for the keeper process, not for users
    return parser


def _shape() -> argparse.ArgumentParser:
    default = ", ".join(
        f"{n.name} with {n.cpus} cores" + (f" and {n.gpus} {n.gpu}" if n.gpus else "") for n in DEFAULT_NODES
    )
    shape = argparse.ArgumentParser(add_help=False)
    shape.add_argument("--accounting", action="store_true", help="with slurmdbd and MariaDB, so that sacct works")
    shape.add_argument(
        "--node",
        action="append",
        type=_node,
        default=[],
        metavar="NAME:CPUS:MB[:GPU:COUNT]",
        help=f"a node, for instance n1:4:16000:a100:2; repeatable (default: {default})",
    )
    shape.add_argument("--slow", action="store_true", help="schedule at Slurm's own pace, about 3 s per dependency")
    shape.add_argument(
        "--enforce-memory", action="store_true", help="kill jobs that use more memory than they requested"
    )
    shape.add_argument(
        "--conf", action="append", default=[], metavar="LINE", help="a further line for slurm.conf; repeatable"
    )
    shape.add_argument(
        "--first-job-id",
        type=int,
        metavar="ID",
        help="number of the first job (default: drawn, so that no job is mistaken for one of an earlier sandbox)",
    )
    return shape


def _what_to_type(sandbox: Sandbox) -> str:
    return f"export SLURM_CONF={shlex.quote(str(sandbox.conf))}"


def _command(act: str, folder: Path) -> str:
    words = ["python", "-m", __package__ or "", act]
    if folder != DEFAULT_FOLDER:
        words += ["--folder", str(folder)]
    return shlex.join(words)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
