"""Both judges (was the answer right, was the document useful) and the task metrics."""
