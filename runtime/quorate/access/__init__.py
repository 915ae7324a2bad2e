"""What every front door needs: keys and rights, limits of fields, the record of a request."""
