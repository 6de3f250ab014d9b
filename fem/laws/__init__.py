"""Constitutive laws: one class each, frozen dataclasses of SI floats, written in UFL.

A law's fields may be floats or dolfinx constants: :func:`fem.forms.with_constants` swaps one for the other, so that a
change of a value never compiles a form again.
"""
