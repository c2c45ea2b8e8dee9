"""Generated grpcio services; the messages themselves live in trainmon.v1."""
