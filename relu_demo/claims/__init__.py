"""Each sentence of the article beside its predicate over the trace, with its evidence."""
