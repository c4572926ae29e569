"""Stories of a tenant, told through the whole worker on an in-memory broker."""
