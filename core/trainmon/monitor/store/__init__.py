"""Where history is kept: the interface, and a store in memory."""
