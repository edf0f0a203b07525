"""Queries of several threads encoded together, each to the same bits as alone.

A batch of one shape may round its rows differently than that of another.  So shapes are few: a text is padded to one of
a few lengths, and batches have one of a few sizes.  Before a shape is used, random tokens show on this machine whether
each of its rows is, bit for bit, what it is alone; where it is not, such queries are encoded one by one.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from lrat_sim.retrieval.batching import SharedBatches
from lrat_sim.retrieval.vectors import Matrix

# on a GPU a batch takes hardly longer than a text, so that also a single text is encoded as a batch of that size
_SIZES = {"cpu": (16, 4, 1), "cuda": (64,)}
_TEXTS = ("input_ids", "attention_mask", "token_type_ids")
_AT_ONCE = 64

Features = dict[str, Any]


class QueryBatches:
    """Encodes queries by a model, those of several threads in common batches.

    Args:
        model: the encoder.
        prompt: put before each query.
        max_length: tokens of a query.
        lock: held while the tokenizer is used.
    """

    def __init__(self, model: SentenceTransformer, prompt: str, max_length: int, lock: threading.Lock):
        self._model, self._prompt, self._max_length, self._lock = model, prompt, max_length, lock
        self._shared: SharedBatches[Matrix] = SharedBatches(self._vectors, lambda length: _AT_ONCE)
        self._sizes: dict[int, tuple[int, ...]] = {}  # by length, those whose rows are what they are alone

    def encode(self, texts: list[str]) -> Matrix:
        """The model's vectors, shape (texts, dimensions), as float32; each depends on its own text alone."""
        with self._lock:
            self._model.max_seq_length = self._max_length
            tokenised = [self._model.preprocess([text], prompt=self._prompt, task="query") for text in texts]
        return np.stack(self._shared([(self._length(features), features) for features in tokenised]))

    def _length(self, features: Features) -> int:
        """The tokens that a text is padded to, 0 where the model has no such padding."""
        tensors = [name for name, value in features.items() if isinstance(value, torch.Tensor)]
        if (
            not set(tensors) <= {*_TEXTS}
            or "attention_mask" not in tensors
            or self._model.tokenizer.pad_token_id is None
        ):
            return 0
        tokens: int = features["input_ids"].shape[1]
        step = 1 << (max(tokens, 64).bit_length() - 3)  # an eighth of the length at most is padding, or 16 tokens
        return max(tokens, min(-(-tokens // step) * step, self._max_length))

    @torch.inference_mode()
    def _vectors(self, length: int, texts: list[Features]) -> list[Matrix]:
        if length and len(texts) > 1 - (self._model.device.type == "cuda") and length not in self._sizes:
            self._sizes[length] = self._agreeing(length)
        sizes = self._sizes.get(length, (1,)) if length else (1,)
        done: list[Matrix] = []
        while len(done) < len(texts):
            left = texts[len(done) :]
            # at most a quarter of a batch is filled up, since several small ones would take longer
            size = next((size for size in sizes if 3 * size <= 4 * len(left)), sizes[-1])
            done.extend(self._forward(left[:size], length, size))
        return done

    def _forward(self, texts: list[Features], length: int, size: int) -> Matrix:
        """The vectors of at most ``size`` texts, encoded as a batch of just that shape."""
        padded = [self._padded(features, length) for features in texts]
        padded += padded[:1] * (size - len(texts))
        batch = {
            name: torch.cat([features[name] for features in padded]).to(self._model.device)
            if isinstance(value, torch.Tensor)
            else value
            for name, value in padded[0].items()
        }
        vectors: Matrix = self._model(batch, task="query")["sentence_embedding"].float().cpu().numpy()
        return vectors[: len(texts)]

    def _padded(self, features: Features, length: int) -> Features:
        tokenizer = self._model.tokenizer
        padded = dict(features)
        for name in _TEXTS if length else ():
            if name in features:
                missing = length - features[name].shape[1]
                sides = (missing, 0) if tokenizer.padding_side == "left" else (0, missing)
                filler = tokenizer.pad_token_id if name == "input_ids" else 0
                padded[name] = torch.nn.functional.pad(features[name], sides, value=filler)
        return padded

    def _agreeing(self, length: int) -> tuple[int, ...]:
        """The sizes of batch of a length in which each row is what it is alone, whatever its place."""
        sizes = _SIZES[self._model.device.type]
        with self._lock:
            sample = self._model.preprocess(["a"], prompt=self._prompt, task="query")
        draw = torch.Generator().manual_seed(length)
        texts: list[Features] = []
        for number in range(sizes[0]):
            tokens = max(1, length - number % 8)
            words = torch.randint(len(self._model.tokenizer), (1, tokens), generator=draw)
            words = torch.where(words == self._model.tokenizer.pad_token_id, words - 1, words).clamp(min=0)
            texts.append({**sample, **{name: torch.zeros_like(words) for name in _TEXTS if name in sample}})
            texts[-1] |= {"input_ids": words, "attention_mask": torch.ones_like(words)}
        alone = np.concatenate([self._forward([text], length, sizes[-1]) for text in texts])

        def agrees(size: int) -> bool:
            starts = range(0, len(texts), size)
            together = [self._forward(texts[start : start + size][::-1], length, size)[::-1] for start in starts]
            return np.array_equal(np.concatenate(together), alone)

        return tuple(size for size in sizes if agrees(size)) or (1,)
