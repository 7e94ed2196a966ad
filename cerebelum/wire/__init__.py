"""The messages of the gRPC services, made from `proto/` by `make proto`. Imports nothing of ours."""
