"""How an answer is produced: the queue, the upstream call, the run and the registry of all runs."""
