"""What a result is measured by, and flicker of known truth: below both training and `harmovid_evaluate`.

`degrade` makes flicker on purpose, `quality` is PSNR and stops, `structure` SSIM and change along motion, `flows`
distance of optical flows, `traces` unsteadiness over time, `weights` reads weights of perceptual measures.
"""
