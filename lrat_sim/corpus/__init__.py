"""Documents on disk, task sets, public formats, and the generated world."""

from lrat_sim.corpus.dataset import Dataset, open_dataset, prepare
from lrat_sim.corpus.documents import Corpus

__all__ = ["Corpus", "Dataset", "open_dataset", "prepare"]
