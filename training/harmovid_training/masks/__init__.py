"""Mattes for training: who gives the masks, how binary ones become pseudo alpha, and what was behind the foreground."""
