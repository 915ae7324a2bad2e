"""The gRPC API: servicers, translation between protobuf and domain, errors, life cycle.

Nothing is decided here. A request is translated, handed to the dispatcher or the fleet, and what
comes back is translated again.
"""
