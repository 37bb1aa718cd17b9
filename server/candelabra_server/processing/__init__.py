"""Jobs to results: the plan, the dispatcher, the pool and what runs in its workers."""
