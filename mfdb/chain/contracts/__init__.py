"""Vyper sources and the compiled artefacts that the wheel ships."""
