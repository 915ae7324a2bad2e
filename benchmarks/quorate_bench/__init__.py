"""What a machine, its models and their plans are good for: sweeps, records, reports.

The engine of ``quorate bench``. It runs servers of its own and asks them as any client would.
"""
