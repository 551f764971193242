"""A plan as bash, for Graphviz and for Mermaid: readable, complete, and harmless whatever tasks are called."""

import os
import re
import shlex
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from builders import POLICY, a_plan, a_task, edge, sweep
from playing import Play

from snakemake_executor_plugin_kempner.errors import KempnerError
from snakemake_executor_plugin_kempner.export.bash import bash_script
from snakemake_executor_plugin_kempner.export.forms import exported, form_of
from snakemake_executor_plugin_kempner.export.graph import Node, as_dot, as_mermaid, shown
from snakemake_executor_plugin_kempner.export.recorded import recorded_script
from snakemake_executor_plugin_kempner.export.words import readable, word
from snakemake_executor_plugin_kempner.plan.dependency import Ref
from snakemake_executor_plugin_kempner.plan.light import LightRule, LightTask
from snakemake_executor_plugin_kempner.plan.planner import make_plan
from snakemake_executor_plugin_kempner.plan.task import Edge, Task
from snakemake_executor_plugin_kempner.run.ledger import read_ledger

RULE = LightRule(
    place="", shell="bash", prefix="set -euo pipefail; ", suffix="", tmpdir=False, keep_incomplete=False, notes="",
    record={}, max_checksum_size=0,
)  # fmt: skip
HOSTILE = (
    "it's", 'say "no"', "$(touch caught)", "`touch caught`", "two\nlines", "JOB", "\nJOB\ntouch caught\n", "a\x1b[31mb",
    "\u202egnp", "x; touch caught; esac", "*", "-rf", "~", "#", "a\\b", "<b onclick=x>", "{}", ")", "\udcff",
)  # fmt: skip


def light(task: Task, command: str, *outputs: str, reads: tuple[str, ...] = (), logs: tuple[str, ...] = ()) -> Task:
    """The task with this command, as a light job."""
    own = LightTask(
        command=command, threads=2, outputs=dict.fromkeys(outputs, ()), logs=logs, ensured={}, params=(), job_hash=1
    )  # fmt: skip
    attempts = (
        replace(attempt, step=replace(attempt.step, light=own, light_rule=RULE, wait_for=reads, outputs=outputs))
        for attempt in task.attempts
    )
    return replace(task, attempts=tuple(attempts))


def workflow() -> tuple[Task, ...]:
    """An array that follows another, a retry, and a task that needs all of it, one of them with Snakemake."""
    seeds = [{"seed": str(seed)} for seed in range(6)]
    train = [
        light(a_task("train", "split", wildcards=one, resources={"gpu": 1}), f"train {one['seed']}", f"m{one['seed']}.pt")
        for one in seeds
    ]  # fmt: skip
    score = [
        light(a_task("score", f"train[seed={one['seed']}]", wildcards=one), f"score {one['seed']}", f"s{one['seed']}")
        for one in seeds
    ]
    tune = light(a_task("tune", "split", attempts=2, resources=[{"runtime": 5}, {"runtime": 10}]), "tune\nit", "t")
    report = a_task("report", "tune", *(task.key for task in score))
    return (light(a_task("split"), "split > data", "data"), *train, *score, tune, report)


def script_of(*tasks: Task, folder: Path | None = None) -> str:
    policy = replace(POLICY, workdir=str(folder)) if folder else POLICY
    tasks = tuple(
        replace(
            task,
            attempts=tuple(replace(one, step=replace(one.step, folder=policy.workdir)) for one in task.attempts),
        )
        for task in tasks
    )
    return exported(make_plan(tasks, policy), "bash", (), "snakemake --jobs 3")


def fake_sbatch(folder: Path) -> dict[str, str]:
    """An `sbatch` that writes down its options and runs the script, each element of an array; the environment with it."""
    (folder / "bin").mkdir()
    program = folder / "bin/sbatch"
    program.write_text(
        "#!/bin/bash\n"
        f"cd {shlex.quote(str(folder))}\n"
        "number=$(($(cat number 2> /dev/null || echo 0) + 1)); echo $number > number\n"
        "printf '%s\\n' \"$*\" >> options; cat > script-$number; array=; wrap=\n"
        "for option; do case $option in --array=*) array=${option#--array=};; --wrap=*) wrap=1;; esac; done\n"
        '[ -n "$wrap" ] || { cd work; for i in $([ -z "$array" ] && echo 0 || seq ${array/-/ }); do\n'
        f"SLURM_ARRAY_TASK_ID=$i bash {shlex.quote(str(folder))}/script-$number >> ../said 2>&1 || echo failed >> ../failed; done; }}\n"
        "echo $number\n"
    )
    program.chmod(0o755)
    (folder / "work").mkdir()
    return {**os.environ, "PATH": f"{folder}/bin:{os.environ['PATH']}"}


def queued(text: str, tmp_path: Path) -> list[str]:
    """Run the script with the fake `sbatch`; the options of each call."""
    path = tmp_path / "plan.sh"
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    done = subprocess.run(["bash", str(path)], env=fake_sbatch(tmp_path), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return (tmp_path / "options").read_text(errors="surrogateescape").splitlines()


def test_golden_bash(golden: Callable[[str, str], None]) -> None:
    golden("export_bash", script_of(*workflow()))


def test_each_call_waits_for_the_ids_that_sbatch_has_printed(tmp_path: Path) -> None:
    seen = queued(script_of(*workflow(), folder=tmp_path / "work"), tmp_path)
    waits = [next((part for part in line.split() if part.startswith("--dependency")), "") for line in seen]
    names = [re.search(r"--job-name=(\S+)", line)[1] for line in seen]  # type: ignore[index]
    by_name = dict(zip(names, waits, strict=True))
    number = {name: names.index(name) + 1 for name in names}
    assert by_name["train"] == f"--dependency=afterok:{number['split']}"
    assert by_name["score"] == f"--dependency=aftercorr:{number['train']}"
    tunes = [place + 1 for place, name in enumerate(names) if name == "tune"]
    assert waits[tunes[1] - 1] == f"--dependency=afterok:{number['split']},afternotok:{tunes[0]}"
    assert by_name["gate"] == f"--dependency=afterok:{tunes[0]}?afterok:{tunes[1]}"
    assert by_name["report"] == f"--dependency=afterok:{number['gate']}:{number['score']}"


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_and_no_command_does_more_than_it_says(tmp_path: Path, name: str) -> None:
    """In rules, wildcards, files and commands, alone and in arrays."""
    path = name.replace("/", "_") + ".txt"
    alone = light(
        a_task(name, wildcards={"x": name}), f"printf %s {shlex.quote(name)} > {shlex.quote('./' + path)}", path
    )
    many = [
        light(a_task("many", wildcards={"x": name, "n": str(n)}), f"echo {n} > {shlex.quote(f'./{n}{path}')}", f"{n}{path}")
        for n in range(5)
    ]  # fmt: skip
    text = script_of(alone, *many, folder=tmp_path / "work")
    assert all(char.isprintable() or char in "\n\t" for char in text)
    queued(text, tmp_path)
    made = {path.name for path in (tmp_path / "work").iterdir()} - {".snakemake", "slurm-logs"}
    assert made == {path, *(f"{n}{path}" for n in range(5))}, (tmp_path / "said").read_text()
    assert (tmp_path / "work" / path).read_text(errors="surrogateescape") == name


@pytest.mark.parametrize("text", [*HOSTILE, "", "plain/path-1.txt", "'", "\\'", "\x7f\x801", "é", "=x"])
def test_a_word_means_exactly_its_text(text: str) -> None:
    for written in (word(text), readable(text)):
        done = subprocess.run(["bash", "-c", os.fsencode(f"printf %s {written}")], capture_output=True, check=True)
        assert done.stdout == os.fsencode(text)


def test_a_failed_command_fails_its_job_and_leaves_no_output(tmp_path: Path) -> None:
    bad = light(a_task("bad"), "echo half > out.txt; false; true", "out.txt")
    lazy = light(a_task("lazy"), "true", "never.txt")
    queued(script_of(bad, lazy, folder=tmp_path / "work"), tmp_path)
    assert (tmp_path / "failed").read_text() == "failed\n" * 2
    assert not (tmp_path / "work/out.txt").exists()
    assert "lazy has not made never.txt" in (tmp_path / "said").read_text()


def test_rules_whose_names_differ_only_in_odd_characters_have_variables_of_their_own() -> None:
    names = ["a-b", "a_b", "a.b", "a_b_2", "PATH", "IFS", "1", "folder"]
    text = script_of(*(light(a_task(name), "true", name) for name in names))
    variables = re.findall(r"^(\w+)=\$\(sbatch", text, re.MULTILINE)
    assert len(set(variables)) == len(names)
    assert not {"PATH", "IFS", "folder"} & set(variables)


# --- of a run -------------------------------------------------------------------------------------------------------


def without_head(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith("#")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / ".snakemake/kempner/run1"


def of_run(play: Play, *earlier: Path) -> str:
    ledgers = [read_ledger(path) for path in (*earlier, play.folder)]
    return bash_script(recorded_script(ledgers, "snakemake", ()))


def test_a_run_is_exported_from_its_records_as_its_plan_would_have_been(folder: Path) -> None:
    play = Play(folder)
    play.submit(*workflow())
    plan = make_plan(workflow(), play.policy)
    assert without_head(of_run(play)) == without_head(exported(plan, "bash", (), ""))


def test_what_a_later_plan_did_not_wait_for_because_it_was_done_is_waited_for_again(folder: Path) -> None:
    play = Play(folder)
    data = light(a_task("split"), "split > data", "data")
    play.submit(data)
    play.watch()
    play.submit(light(a_task("train"), "train data", "model", reads=("data",)))
    play.watch()
    assert "--dependency=afterok:$split" in of_run(play)


def test_what_reads_a_file_in_a_folder_waits_for_what_makes_the_folder(folder: Path) -> None:
    play = Play(folder)
    play.submit(light(a_task("split"), "mkdir parts", "parts"))
    play.watch()
    play.submit(light(a_task("train"), "train data", "model", reads=("parts/some/1.txt",)))
    play.watch()
    assert "--dependency=afterok:$split" in of_run(play)


def test_what_needed_one_of_several_attempts_waits_for_a_gate(folder: Path) -> None:
    play = Play(folder)
    play.submit(light(a_task("split", attempts=2), "split > data", "data"))
    play.watch()
    play.submit(light(a_task("train"), "train data", "model", reads=("data",)))
    play.watch()
    text = of_run(play)
    assert '--dependency="afterok:$split?afterok:$split_attempt2"' in text
    assert re.search(r"^train=.*--dependency=afterok:\$gate_\w+ ", text, re.MULTILINE)


def test_the_submission_that_a_later_run_has_made_replaces_the_earlier(folder: Path) -> None:
    play = Play(folder)
    tasks = light(a_task("split"), "split > data", "data"), light(a_task("train", "split"), "before", "model")
    play.submit(*tasks)
    play.look()
    play.slurm.cancel([job.job_id for job in play.slurm.jobs.values() if job.rule == "train"])
    play.run_headless()
    first = play.folder
    play.resume()
    play.submit(light(a_task("train"), "after", "model", reads=("data",)))
    text = of_run(play, first)
    assert "after" in text
    assert "before" not in text.partition("split=")[2]
    assert text.index("split=$(sbatch") < text.index("train=$(sbatch")
    assert "--dependency=afterok:$split" in text


def test_a_run_whose_scripts_were_not_kept_says_so(folder: Path) -> None:
    play = Play(folder)
    play.submit(a_task("split"))
    (folder / "scripts.jsonl").unlink()
    with pytest.raises(KempnerError, match="was not kept"):
        of_run(play)


# --- graphs ---------------------------------------------------------------------------------------------------------


def graph(*tasks: Task, form: str) -> str:
    return exported(a_plan(*tasks), form, (), "")


def test_a_graph_has_each_task_and_what_it_waits_for() -> None:
    tasks = a_task("fetch"), a_task("train", "fetch"), a_task("clean", edge("afterany", "train"))
    assert 'n0 [label="fetch"' in graph(*tasks, form="dot")
    assert "n0 -> n1;" in graph(*tasks, form="dot")
    assert 'n1 -> n2 [label="afterany", style="dashed"]' in graph(*tasks, form="dot")
    assert 'n0["fetch"]' in graph(*tasks, form="mermaid")
    assert "n0 --> n1" in graph(*tasks, form="mermaid")
    assert "n1 -. afterany .-> n2" in graph(*tasks, form="mermaid")


def test_a_graph_of_many_tasks_shows_the_rules() -> None:
    text = graph(*sweep(200), form="dot")
    assert text.count("[label=") == 4
    assert 'label="train (200)"' in text
    assert text.count(" -> ") == 3


def test_a_rule_has_the_colour_of_most_of_its_tasks() -> None:
    states = [("done", "#00ff00")] * 80 + [("failed", "#ff0000")] * 30
    nodes = [
        Node(key=str(n), label=f"train[n={n}]", rule="train", state=s, colour=c) for n, (s, c) in enumerate(states)
    ]
    (rule,) = shown(nodes)
    assert (rule.label, rule.colour) == ("train (80 done, 30 failed)", "#00ff00")
    assert "style n0 fill:#00ff00" in as_mermaid([rule])


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_breaks_out_of_its_label(name: str) -> None:
    nodes = [Node(key="a", label=name, rule="r"), Node(key="b", label="b", rule="r", edges=(Edge(on="a"),))]
    (label,) = re.findall(r'n0\["(.*)"\]', as_mermaid(nodes))
    assert not set(label) & set('"<>`[]{}|\\\n\x1b')
    (line,) = [line for line in as_dot(nodes).split("\n") if line.startswith("  n0 [")]
    assert re.fullmatch(r'  n0 \[label="(?:[^"\\]|\\.)*", fillcolor="#\w+"\];', line)
    assert line.isprintable()


def test_a_name_says_the_form_of_a_file() -> None:
    assert [form_of(Path(name)) for name in ("p.sh", "p.dot", "p.mmd")] == ["bash", "dot", "mermaid"]
    with pytest.raises(KempnerError, match="says no form"):
        form_of(Path("plan"))


def test_a_plan_that_waits_for_jobs_of_an_earlier_run_is_not_exported() -> None:
    known: dict[str, Any] = {"standing": {"split": (Ref("split", 1),)}}
    plan = make_plan([light(a_task("train", "split"), "x", "y")], replace(POLICY, **known))
    with pytest.raises(KempnerError, match="an earlier run has in the queue"):
        exported(plan, "bash", (), "")
