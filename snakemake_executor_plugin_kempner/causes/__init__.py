"""Why a task failed: the line of its log that says so, what its exit code means, and failures with the same cause."""
