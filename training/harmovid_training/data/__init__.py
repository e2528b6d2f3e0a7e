"""Training data of the harmonizer: cached scenes, mattes, relighting, rendered truth. See docs/data.md."""
