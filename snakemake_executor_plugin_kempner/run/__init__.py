"""Effects over time: the record of a run, submitting a plan, following what was submitted."""
