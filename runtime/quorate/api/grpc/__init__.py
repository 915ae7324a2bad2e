"""The gRPC front door: servicers, translation between protobuf and domain, errors, lifecycle.

Nothing is decided here. A request is translated, handed to the dispatcher or the fleet, and what
comes back is translated again.
"""
