"""The harmonizer that ships: network, training, calibration of its confidence. See docs/harmonize.md."""
