"""What has become of a run: its ledger, the records of its jobs and Slurm's queue → a value, for those who look."""
