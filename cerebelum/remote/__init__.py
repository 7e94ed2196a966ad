"""A store that is elsewhere, behind `cerebelum serve`: named `grpc://HOST:PORT`, or `grpcs://` with TLS."""
