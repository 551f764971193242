"""Of the log of a failed task, the line that says why is found, whatever has written it."""

import pytest

from snakemake_executor_plugin_kempner.causes.words import Certainty, words_of

SURE, LIKELY, LAST_LINE = Certainty.SURE, Certainty.LIKELY, Certainty.LAST_LINE

BEGIN = "Building DAG of jobs...\nUsing shell: /usr/bin/bash\nSelect jobs to execute...\nExecute 1 jobs...\n"
END = """Shutting down, this might take some time.
Exiting because a job execution failed. Look above for error messages
Storing output in storage.
Elapsed time: 0:00:00.979461
WorkflowError:
At least one job did not complete successfully.
"""


def a_log(said: str, end: str = "returned non-zero exit status 1.") -> str:
    """What a job prints around the words of its rule."""
    rule = f"RuleException:\nCalledProcessError in file \"/flow/Snakefile\", line 7:\nCommand 'set -euo pipefail;  x' {end}\n"
    return f"{BEGIN}{said}\n{rule}{END}"


PYTHON = """Epoch 1
Traceback (most recent call last):
  File "train.py", line 7, in <module>
    f()
ValueError: loss is NaN"""

TORCH = """[rank0]: Traceback (most recent call last):
[rank0]:   File "/flow/train.py", line 80, in <module>
[rank0]:     main()
[rank0]: torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.10 GiB
E1103 14:03:11.123000 140 torch/distributed/elastic/multiprocessing/api.py:826] failed (exitcode: 1) local_rank: 0
Traceback (most recent call last):
  File "/env/bin/torchrun", line 8, in <module>
    sys.exit(main())
torch.distributed.elastic.multiprocessing.errors.ChildFailedError:
============================================================
/flow/train.py FAILED
------------------------------------------------------------"""

CHAINED = """Traceback (most recent call last):
  File "a.py", line 2, in load
    return table[name]
KeyError: 'lr'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "a.py", line 4, in <module>
    load("lr")
omegaconf.errors.ConfigKeyError: Key 'lr' is not in struct"""

WRAPPED = """Traceback (most recent call last):
  File "convert.py", line 3, in convert
    raise RuntimeError("no such codec")
RuntimeError: no such codec
Traceback (most recent call last):
  File "all.py", line 9, in <module>
    subprocess.run(command, check=True)
subprocess.CalledProcessError: Command '['python', 'convert.py']' returned non-zero exit status 1."""

R_IN_TWO_LINES = """Loading required package: stats
Error in lm.fit(x, y, offset = offset, singular.ok = singular.ok, ...) :
  NA/NaN/Inf in 'x'
Calls: main -> lm -> lm.fit
Execution halted"""

JAVA = """Exception in thread "main" java.lang.RuntimeException: cannot open reads
\tat picard.cmdline.Main.main(Main.java:103)
Caused by: java.io.FileNotFoundException: reads.bam (No such file or directory)
\tat java.base/java.io.FileInputStream.open(FileInputStream.java:219)
\t... 3 more"""

COMPILER = """cc -c a.c
a.c:3:10: fatal error: zlib.h: No such file or directory
    3 | #include <zlib.h>
compilation terminated.
make: *** [Makefile:3: a.o] Error 1"""

KINDS = {
    "python": (PYTHON, "ValueError: loss is NaN"),
    "torchrun": (
        TORCH,
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.10 GiB",
    ),
    "a chain of exceptions": (CHAINED, "omegaconf.errors.ConfigKeyError: Key 'lr' is not in struct"),
    "a program called by another": (WRAPPED, "RuntimeError: no such codec"),
    "an exception without a message": (PYTHON.replace(": loss is NaN", ""), "ValueError"),
    "an interrupt": (PYTHON.replace("ValueError: loss is NaN", "KeyboardInterrupt"), "KeyboardInterrupt"),
    "R": ("Error in library(foo) : there is no package called 'foo'\nExecution halted",
          "Error in library(foo) : there is no package called 'foo'"),
    "R in two lines": (
        R_IN_TWO_LINES,
        "Error in lm.fit(x, y, offset = offset, singular.ok = singular.ok, ...) : NA/NaN/Inf in 'x'",
    ),
    "Java": (JAVA, "Caused by: java.io.FileNotFoundException: reads.bam (No such file or directory)"),
    "Julia": ("ERROR: LoadError: UndefVarError: `x` not defined\nStacktrace:\n [1] top-level scope",
              "ERROR: LoadError: UndefVarError: `x` not defined"),
    "Rust": ("thread 'main' panicked at src/main.rs:4:5:\nindex out of bounds\nnote: run with `RUST_BACKTRACE=1`",
             "thread 'main' panicked at src/main.rs:4:5: index out of bounds"),
    "Go": ("panic: runtime error: index out of range [5]\n\ngoroutine 1 [running]:", "panic: runtime error: index out of range [5]"),
    "C++": ("terminate called after throwing an instance of 'std::bad_alloc'\n  what():  std::bad_alloc", "what():  std::bad_alloc"),
    "a missing program": ("go\n/usr/bin/bash: line 1: nosuchprogram: command not found", "nosuchprogram: command not found"),
    "a missing program in a script": ("run.sh: line 12: samtools: command not found", "run.sh: line 12: samtools: command not found"),
    "a kill": ("epoch 1\n/usr/bin/bash: line 1:   123 Killed                  python train.py", "123 Killed                  python train.py"),
    "a segmentation fault": ("Segmentation fault (core dumped)", "Segmentation fault (core dumped)"),
    "the time limit": (
        "epoch 3\nslurmstepd: error: *** JOB 12 ON n1 CANCELLED AT 2026-11-28T12:00:00 DUE TO TIME LIMIT ***",
        "slurmstepd: error: *** JOB 12 ON n1 CANCELLED AT 2026-11-28T12:00:00 DUE TO TIME LIMIT ***",
    ),
    "CUDA without a traceback": ("step 1\nCUDA error: device-side assert triggered", "CUDA error: device-side assert triggered"),
    "a full disk": ("cp: error writing 'a': No space left on device", "cp: error writing 'a': No space left on device"),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_the_line_that_says_why_is_found(kind: str) -> None:
    said, cause = KINDS[kind]
    for log in (a_log(said), said):
        words = words_of(log)
        assert (words.cause, words.certainty) == (cause, SURE)


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        (COMPILER, "a.c:3:10: fatal error: zlib.h: No such file or directory"),
        ("2026-11-28 12:00:01,123 INFO start\n2026-11-28 12:00:02,456 ERROR no GPU\nbye",
         "2026-11-28 12:00:02,456 ERROR no GPU"),
        ("[12:00:01] ERROR: no index\nusage: tool FILE", "[12:00:01] ERROR: no index"),
        ("samtools: error: cannot open a.bam\nsamtools: error: giving up", "samtools: error: cannot open a.bam"),
        ("cat: a.txt: No such file or directory", "cat: a.txt: No such file or directory"),
    ],
)  # fmt: skip
def test_without_such_a_line_the_first_error_near_the_end_counts(said: str, cause: str) -> None:
    words = words_of(a_log(said))
    assert (words.cause, words.certainty) == (cause, LIKELY)


@pytest.mark.parametrize(
    "said", ["validation error: 0.12", "epoch 7: error rate 3 %", "0 errors", "failed requests: 0"]
)
def test_a_number_that_is_called_an_error_is_none(said: str) -> None:
    words = words_of(a_log(f"{said}\nsaved"))
    assert (words.cause, words.certainty) == ("saved", LAST_LINE)


def test_else_the_last_line_counts_that_the_program_itself_has_said() -> None:
    assert words_of(a_log("working\nalmost\n\n")).cause == "almost"
    assert words_of(BEGIN + END).certainty is Certainty.NONE
    assert words_of("").around == ()


def test_an_exception_in_a_run_block_is_found_in_what_snakemake_says_of_it() -> None:
    rule = 'RuleException:\nValueError in file "/flow/Snakefile", line 15:\nloss is NaN\n  File "/flow/Snakefile", line 15, in __rule_x\n'
    words = words_of(f"{BEGIN}hello\n{rule}{END}")
    assert (words.cause, words.certainty, words.around) == ("ValueError: loss is NaN", SURE, ("hello",))


def test_an_error_in_the_snakefile_itself_is_found() -> None:
    said = 'Traceback of nothing\nValueError in file "/flow/Snakefile", line 4:\nmust not be read here\n  File "/flow/Snakefile", line 4\n'
    assert words_of(said).cause == "ValueError: must not be read here"


def test_a_missing_output_is_named() -> None:
    missing = """done
Waiting at most 5 seconds for missing files:
a.txt (missing locally)
MissingOutputException in rule x in file "/flow/Snakefile", line 3:
Job 0 completed successfully, but some output files are missing. Missing files after 5 seconds:
a.txt (missing locally, parent dir not present)
b.txt (missing locally)
"""
    assert words_of(BEGIN + missing + END).cause == "declared output is missing: a.txt, b.txt"
    light = 'done\nMissingOutputException: Missing files after 5 seconds (--latency-wait):\na.txt\nThis is output of rule x in file "f", line 1.\n'
    assert words_of(light).cause == "declared output is missing: a.txt"
    empty = 'Detected unexpected empty output files:\na.txt\nThis is output of rule x in file "f", line 1.\n'
    assert words_of(empty).cause == "Detected unexpected empty output files: a.txt"
    step = "kempner: x[n=1]: Snakemake has ended with exit code 0, but declared output is missing:\n  a.txt\n"
    assert words_of(step).cause == "Snakemake has ended with exit code 0, but declared output is missing: a.txt"


@pytest.mark.parametrize(
    ("end", "code", "signal"),
    [
        ("returned non-zero exit status 3.", 3, None),
        ("returned non-zero exit status 137.", 137, 9),
        ("died with <Signals.SIGKILL: 9>.", None, 9),
        ("died with unknown signal 40.", None, 40),
        ("died with signal 9.", None, 9),
        ("ended somehow", None, None),
    ],
)
def test_the_exit_code_of_the_rules_own_command_is_read(end: str, code: int | None, signal: int | None) -> None:
    words = words_of(a_log("x", end))
    assert (words.exit_code, words.signal) == (code, signal)


def test_a_rule_whose_words_are_elsewhere_shows_none_of_snakemakes() -> None:
    """Its command may hold anything, and is no word about the failure."""
    words = words_of(a_log(""))
    assert (words.cause, words.around) == ("", ())


def test_the_lines_before_the_cause_are_shown_and_some_after_it() -> None:
    said = "\n".join([*(f"line {number}" for number in range(100)), PYTHON, *"abcdef"])
    around = words_of(a_log(said)).around
    assert len(around) == 15
    assert around[-4:] == ("ValueError: loss is NaN", "a", "b", "c")


def test_of_a_progress_bar_the_last_state_is_shown() -> None:
    assert words_of("start\r 10%\r 50%\r\n").cause == "50%"


def test_a_log_can_colour_nothing_and_move_nothing() -> None:
    said = "\x1b[31mred\x1b[0m\n\x1b]0;title\x07shown\n\x1b[2Jcleared\nbell\x07\n\x1bcreset\n\tkept\n"
    assert words_of(said).around == ("red", "shown", "cleared", "bell\\x07", "\\x1bcreset", "\tkept")


def test_a_line_of_any_length_makes_a_short_cause() -> None:
    assert len(words_of(PYTHON + "x" * 100_000).cause) < 300
