"""How an answer is produced: queue, upstream call, generation, and the registry of all generations."""
