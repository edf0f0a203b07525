"""Many tasks at once, recorded as they end, and resumed by the same call."""
