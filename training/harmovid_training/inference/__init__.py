"""From pictures to pictures: samplers, windows over time of any length, and the streaming VAE."""
