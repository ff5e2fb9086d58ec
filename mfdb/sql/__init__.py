"""From a statement's text to its result over the datasets of one machine."""
