"""The trainmon gateway: the dashboard's files and gRPC-Web on one port."""
