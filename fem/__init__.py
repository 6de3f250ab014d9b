"""Poroelastic model of the epidural blood patch: laws, forms, time stepping and quantities of interest."""
