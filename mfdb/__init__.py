"""A database without a host: signed rows, paid providers, a court for lost data."""
