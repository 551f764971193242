"""A run over time: its ledger, the submission of plans, and following the submitted jobs."""
