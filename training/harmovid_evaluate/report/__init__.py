"""What an evaluation shows: plots (SVG), contact sheets (PNG), and one page with wipes that needs nothing else."""
