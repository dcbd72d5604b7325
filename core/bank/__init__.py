"""The bank of motions: real windows of real animations, carried over to other shapes as rotations."""
