"""Generated messages and services of the wire contract; see proto/."""
