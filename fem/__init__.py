"""Poroelastic model of the epidural blood patch: laws, forms, time stepping and quantities of interest."""

MODEL_VERSION = "10"
"""Version of laws, defaults and numerics: it changes whenever results do."""
