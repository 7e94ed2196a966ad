"""What `cerebelum serve` opens a store with: gRPC, JSON over HTTP, and a page. It stands on `ExecutionClient`."""
