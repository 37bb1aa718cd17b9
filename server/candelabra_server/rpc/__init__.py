"""gRPC: servicers, status mapping and the server itself."""
