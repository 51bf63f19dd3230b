"""Composed video retrieval from notebooks: give a clip and an instruction, find the clips that satisfy both."""
