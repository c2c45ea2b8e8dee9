"""Other tools doing the same logging, each run by an interpreter of its own."""
