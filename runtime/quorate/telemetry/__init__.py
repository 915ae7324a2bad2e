"""What a service tells other programs of its work: metrics to be scraped, and traces."""
