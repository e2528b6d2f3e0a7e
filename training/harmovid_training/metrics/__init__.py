"""Metrics, and synthetic flicker with known truth; used by training and by `harmovid_evaluate`.

`degrade` adds flicker, `quality` has PSNR and errors in stops, `structure` SSIM and change along motion, `flows` the
distance of optical flows, `traces` the roughness of levels over time, and `weights` reads the weights of perceptual
metrics.
"""
