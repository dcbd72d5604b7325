"""Batched procedural creatures and articulated objects: rigs, motions and their implicit surfaces, torch only."""
