"""The service over gRPC: the published status service, and one for everything else."""
