"""The commands: each reads what was given, asks a service and hands the answer to a view."""
