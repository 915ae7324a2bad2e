"""How answers look: tables and bars on a terminal, plain text in a pipe, JSON lines for programs.

A view prints what it is given; it asks nobody, and it chooses nothing but the form.

Views of what a server answers take protobuf messages as the client hands them on. They are the last
to see them, and JSON lines are the messages field by field: values of our own in between would copy
every field of the contract a second time, and each new one would have to be added here before
anybody could see it. Where the same is shown from another source too, as a ledger's file is, or
where it is worked with, as a calibration's plans are, ``cli.messages`` makes values of it first.
"""
