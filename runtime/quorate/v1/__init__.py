"""Generated protobuf and gRPC code; see scripts/generate_protos."""
