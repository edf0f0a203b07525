"""Signals to pairs: which browse made which document a positive, a negative, or neither."""
