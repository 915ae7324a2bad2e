"""Who may do what: keys and rights, and the record of a request. What every front door needs."""
