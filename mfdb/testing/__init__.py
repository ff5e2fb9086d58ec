"""Public test kit: behaving twins of every port, conformance suites, the simulator."""
