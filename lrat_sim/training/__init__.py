"""Trains a retriever on mined pairs: weighted contrastive loss, data, trainer (LRAT, section 5.2)."""
