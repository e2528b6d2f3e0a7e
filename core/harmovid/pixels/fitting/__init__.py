"""Fitting: lighting fields from pairs of pictures, and grades (CDL, LUT, Nuke Grade) from fields."""
