"""The processes: the only room that wires ports to adapters, and owns tasks and sockets."""
