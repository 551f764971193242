"""Whether the Python of a Snakefile reads what is different in each job: its node, its id, its own folder for temporary files."""

import io
import re
import tokenize
from ast import literal_eval

_OF_THE_JOB = frozenset({
    "environb", "gethostname", "getfqdn", "uname", "cpu_count", "process_cpu_count", "sched_getaffinity", "getpid",
    "getppid", "gettempdir", "getloadavg", "device_count", "umask", "expandvars", "mkdtemp", "mkstemp", "TemporaryDirectory",
    "NamedTemporaryFile", "TemporaryFile", "node", "platform", "sysconf", "getnode", "virtual_memory", "disk_usage",
    "check_output", "getoutput", "Popen", "popen", "subprocess", "makedirs", "mkdir", "setrlimit", "putenv",
    "remote_exec", "exec_mode", "is_main_process", "local_exec", "subprocess_exec", "argv",
})  # fmt: skip
"""Names of what says something about the node or the process, or prepares something on the node."""
_BY_NAME = frozenset({"environ", "getenv"})
"""What reads a variable whose name follows: most are the same in a job, which gets the environment of its head."""
_SET_IN_JOBS = re.compile(r"SLURM|SBATCH|KEMPNER|CUDA|ROCR|HIP|ZE_|GPU|OMP_|GOMP|PMI|TMP|TEMP|HOST|PWD|JOB")
_WORDS = re.compile(rf"\b(?:{'|'.join(sorted(_OF_THE_JOB | _BY_NAME))})\b")
_BETWEEN = frozenset({".", "get", "setdefault", "pop", "[", "("})


def reads_environment(text: str) -> bool:
    """Whether a Snakefile names a function or variable whose value may differ in the job. Comments and texts do not count."""
    if not _WORDS.search(text):
        return False
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    except (tokenize.TokenError, SyntaxError):
        return True
    return any(_is_of_the_job(tokens, at) for at in range(len(tokens)))


def _is_of_the_job(tokens: list[tokenize.TokenInfo], at: int) -> bool:
    token = tokens[at]
    if token.type == tokenize.STRING:  # until Python 3.11 a whole f-string
        return "f" in token.string.partition(token.string[-1])[0].lower() and bool(_WORDS.search(token.string))
    if token.type != tokenize.NAME or token.string not in _OF_THE_JOB | _BY_NAME:
        return False
    return token.string in _OF_THE_JOB or not _names_a_lasting_variable(tokens, at)


def _names_a_lasting_variable(tokens: list[tokenize.TokenInfo], at: int) -> bool:
    """Whether what follows `environ` or `getenv` is the name of a variable that is the same in a job; or it is imported."""
    token = tokens[at]
    line = [other.string for other in tokens if other.start[0] == token.start[0]]
    if "import" in line and "as" not in line and not {"[", "("} & set(line):
        return True
    following = next((later for later in tokens[at + 1 :] if later.string not in _BETWEEN), None)
    if following is None or following.type != tokenize.STRING or following.start[0] != token.start[0]:
        return False
    try:
        return not _SET_IN_JOBS.match(literal_eval(following.string))
    except (ValueError, SyntaxError, TypeError):
        return False
