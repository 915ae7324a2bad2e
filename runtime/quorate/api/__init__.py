"""The APIs of the service: one package for each protocol, all on the same dispatch."""
