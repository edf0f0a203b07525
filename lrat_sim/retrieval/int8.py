"""Encoding of documents in int8 on the CPU, by OpenVINO and NNCF."""

from __future__ import annotations

import contextlib
import io
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from lrat_sim.corpus.documents import Corpus, passage_text
from lrat_sim.errors import InputError
from lrat_sim.foreign import reading
from lrat_sim.retrieval.vectors import Matrix

_SAMPLE = 200
_BATCH = 8  # texts; larger ones leave the processor's caches


class Int8Documents:
    """An encoder whose linear layers multiply in int8, with a scale for each row of the weights and one for each
    layer's input; the latter are those that fit a sample of documents.

    Args:
        model: the encoder, on the CPU.
        prompt: put before each document.
        sample: documents to choose the scales by.

    Raises:
        InputError: OpenVINO or NNCF is missing, or the model cannot be converted.
    """

    def __init__(self, model: SentenceTransformer, prompt: str, sample: list[str]):
        openvino, nncf = _libraries()
        if model.device.type != "cpu":
            raise InputError(f"dtype=int8 is for the CPU, not for {model.device}; use bfloat16 there.")
        self._model, self._prompt = model, prompt
        # one at a time, so that no scale is that of padding
        inputs = [self._inputs([text]) for text in sample]
        names, example = list(inputs[0]), self._inputs([sample[0], "short"])
        with reading("the model cannot be converted to int8", "use dtype=bfloat16 or float32"), _silence():
            plain = openvino.convert_model(_Forward(model, names), example_input=tuple(example.values()))
            calibration = nncf.Dataset([tuple(texts.values()) for texts in inputs])
            kind = nncf.ModelType.TRANSFORMER
            small = nncf.quantize(plain, calibration, model_type=kind, subset_size=len(inputs))
            threads = {"INFERENCE_NUM_THREADS": torch.get_num_threads()}
            self._compiled = openvino.Core().compile_model(small, "CPU", threads)

    def encode(self, texts: list[str]) -> Matrix:
        """The vectors of documents, shape (texts, dimensions)."""
        batches = [self._inputs(texts[start : start + _BATCH]) for start in range(0, len(texts), _BATCH)]
        return np.concatenate([self._compiled(list(batch.values()))[0] for batch in batches])

    def _inputs(self, texts: list[str]) -> dict[str, Any]:
        features = self._model.preprocess(texts, prompt=self._prompt, task="document")
        return {name: value for name, value in features.items() if isinstance(value, torch.Tensor)}


class _Forward(torch.nn.Module):
    """An encoder that takes its features by their places, as a trace needs."""

    def __init__(self, model: SentenceTransformer, names: list[str]):
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *features: torch.Tensor) -> torch.Tensor:
        encoded = self.model(dict(zip(self.names, features, strict=True)), task="document")
        vectors: torch.Tensor = encoded["sentence_embedding"]
        return vectors


def sample_of(corpus: Corpus) -> list[str]:
    """The documents of a corpus by which the scales of int8 are chosen, evenly spread."""
    rows = np.linspace(0, len(corpus) - 1, min(_SAMPLE, len(corpus)), dtype=int)
    return [passage_text(corpus[int(row)]) for row in rows]


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Hides progress bars, which go to standard output, and warnings of traces that hold for one shape alone: tests
    show that these hold for all."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def _libraries() -> tuple[Any, Any]:
    # both report what they are used for unless this package is missing
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        import nncf
        import openvino
    except ImportError as error:
        raise InputError(
            f"dtype=int8 needs {error.name}, which is not installed; install lrat-sim[int8], or use dtype=bfloat16."
        ) from error
    return openvino, nncf
