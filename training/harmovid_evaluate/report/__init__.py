"""The report of an evaluation: plots (SVG), contact sheets (PNG), and one self-contained page with wipes."""
