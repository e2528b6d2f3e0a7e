"""Evaluation: degradations whose truth is known, and the numbers that say how close a result comes to it.

Everything here is numpy (and OpenCV for warps), so that benches can use it without loading torch.
"""
