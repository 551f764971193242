"""The end of a run, by whichever process ends it: the page about it, one mail, the user's command."""
