"""Tissue whose fat lets 2 mL reach and cover a leak nearby, whatever the calibration of the day says."""

SPREADING = {
    "fat.mobility": 3e-7,
    "fat.youngs_modulus": 1000.0,
    "veins.slope": 5e-5,
    "foramina.conductance": 2.5e-13,
}
"""Values of the table of parameters that differ from the defaults, SI units."""
