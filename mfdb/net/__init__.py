"""The transport port and its TLS adapter: how nodes reach each other."""
