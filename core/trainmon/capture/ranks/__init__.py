"""Several ranks: a command takes effect at the same step on every one, without a collective."""
