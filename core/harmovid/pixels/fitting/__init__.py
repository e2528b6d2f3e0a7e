"""Fields from pixels, and grades from fields: what looks for the curve, grid or CDL that fits best."""
