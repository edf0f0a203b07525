"""What a reranker reads of a query and a document, and its score of them."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from msgspec import Meta
from sentence_transformers import CrossEncoder
from sentence_transformers.cross_encoder.modules import LogitScore

from lrat_sim.artifact import fingerprint
from lrat_sim.errors import InputError, RetrieverError
from lrat_sim.retrieval.batching import SharedBatches, bucket, rows_of
from lrat_sim.retrieval.loading import half_for_flash, loading, weights_fingerprint
from lrat_sim.settings import Settings

_REMEMBERED_QUERIES = 4096
# tokens of a batch, enough to keep the device busy: on two CPU cores rows of 96 tokens gain nothing from each other
_TOKENS_A_BATCH = {"cpu": 512, "cuda": 16_384}
_SLOT = re.compile(r"\{(instruction|query|document)\}")

Dtype = Literal["float32", "float16", "bfloat16"]


class PairForm(Settings, frozen=True, kw_only=True):
    """How a pair is put before the model, and which of its outputs is the score.

    Without a template the pair goes as two segments, as the model's own files say.  With one, the tokens are those of
    ``prefix``, of each piece of the template by itself, and of ``suffix``; where they are more than ``max_length``, the
    template's end is cut off, so the document's.
    """

    template: Annotated[
        list[str] | str | None,
        Meta(description="What is read, in one piece or several, with {query}, {document} and {instruction}."),
    ] = None
    instruction: Annotated[str, Meta(description="What {instruction} in the template stands for.")] = ""
    prefix: Annotated[str, Meta(description="Put before the template, and never cut.")] = ""
    suffix: Annotated[str, Meta(description="Put after the template, and never cut.")] = ""
    relevant: Annotated[
        str | None, Meta(description="A language model's token for yes; its logit at the last place is the score.")
    ] = None
    irrelevant: Annotated[str | None, Meta(description="Its token for no, whose logit is subtracted.")] = None

    def pieces(self, query: str, document: str) -> list[str]:
        """The template's pieces with the pair in their slots."""
        filled = {"instruction": self.instruction, "query": query, "document": document}
        template = [self.template] if isinstance(self.template, str) else self.template or []
        # in one pass: a query may hold the name of a slot
        return [_SLOT.sub(lambda slot: filled[slot[1]], piece) for piece in template]


_PLAIN = PairForm()


class Scorer:
    """Scores (query, text) pairs, from several threads at once; a pair's score does not depend on what else is asked.

    The pairs of all searches in flight share batches (:mod:`lrat_sim.retrieval.batching`).  The score is taken before
    any activation: a classifier's output, or a language model's log-odds of its two answers.
    """

    def __init__(self, model: CrossEncoder, name: str, form: PairForm = _PLAIN):
        self._model, self._form = model, form
        self._tokenizer: Any = model.tokenizer
        given = {key: value for key in _PLAIN.__struct_fields__ if (value := getattr(form, key)) not in (None, "")}
        dtype = str(next(model.parameters()).dtype).removeprefix("torch.")
        self.identity = {
            "model": name,
            "weights": weights_fingerprint(model),
            "vocabulary": fingerprint(self._tokenizer.get_vocab()),
            "max_length": model.max_seq_length,
            **given,
            **({} if dtype == "float32" else {"dtype": dtype}),
        }
        self._own = [self._ids(self._form.prefix), self._ids(self._form.suffix)]
        self._lock = threading.Lock()  # a tokenizer keeps state while it works
        tokens = _TOKENS_A_BATCH[torch.device(model.device).type]
        self._rows = partial(rows_of, tokens=tokens)
        self._batches: SharedBatches[float] = SharedBatches(self._run, self._rows)
        # agents word the same query again
        self.scores = lru_cache(maxsize=_REMEMBERED_QUERIES)(self._scores)

    def _scores(self, query: str, texts: tuple[str, ...]) -> tuple[float, ...]:
        clean = query.encode("utf-8", "replace").decode()  # half of a surrogate pair is no text to a tokenizer
        with self._lock:
            rows = self._tokens(clean, texts)
        longest = self._model.max_seq_length or max((len(row["input_ids"]) for row in rows), default=0)
        scores = self._batches([(bucket(len(row["input_ids"]), longest), row) for row in rows])
        if not all(map(torch.isfinite, map(torch.tensor, scores))):
            raise RetrieverError(f"the cross-encoder gave no finite score for the query {query[:80]!r}")
        return tuple(scores)

    def _tokens(self, query: str, texts: Sequence[str]) -> list[dict[str, torch.Tensor]]:
        """The model's inputs for each pair, not padded."""
        if not texts:
            return []
        if self._form.template is not None:
            return [self._filled(query, text) for text in texts]
        features = self._model.preprocess([(query, text) for text in texts])
        kept = features["attention_mask"].bool()
        names = [name for name, value in features.items() if getattr(value, "shape", None) == kept.shape]
        return [{name: features[name][row][kept[row]] for name in names} for row in range(len(texts))]

    def _filled(self, query: str, text: str) -> dict[str, torch.Tensor]:
        prefix, suffix = self._own
        inner = [token for piece in self._form.pieces(query, text) for token in self._ids(piece)]
        room = max(
            0, (self._model.max_seq_length or len(inner) + len(prefix) + len(suffix)) - len(prefix) - len(suffix)
        )
        ids = torch.tensor(prefix + inner[:room] + suffix)
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = (
            self._tokenizer(text, add_special_tokens=False, truncation=False, verbose=False)["input_ids"]
            if text
            else []
        )
        return ids

    def _run(self, length: int, rows: list[dict[str, torch.Tensor]]) -> list[float]:
        count = len(rows)
        rows = rows + rows[:1] * (self._rows(length) - count)  # to the one shape of this length
        pads = {"input_ids": self._tokenizer.pad_token_id or 0, "token_type_ids": self._tokenizer.pad_token_type_id}
        left = self._tokenizer.padding_side == "left"
        features: dict[str, Any] = {"modality": "text", "logits_to_keep": 1}
        for name in rows[0]:
            fills = (torch.full((length - len(row[name]),), pads.get(name, 0), dtype=torch.long) for row in rows)
            padded = [
                torch.cat([fill, row[name]] if left else [row[name], fill])
                for fill, row in zip(fills, rows, strict=True)
            ]
            features[name] = torch.stack(padded).to(self._model.device)
        with torch.inference_mode():
            scores = self._model.eval()(features)["scores"]
        return [float(score) for score in scores.float().reshape(len(rows), -1)[:count, 0].cpu()]


def load_cross_encoder(
    model: str | Path,
    device: str,
    *,
    max_length: int | None = None,
    attention: str | None = None,
    form: PairForm = _PLAIN,
    dtype: Dtype = "float32",
) -> CrossEncoder:
    """A cross-encoder with one output, loaded as :func:`lrat_sim.retrieval.loading.load_model` loads an encoder.

    A language model (``...ForCausalLM``) is one by the logits of the tokens that ``form`` names.
    """
    with loading(model, "cross-encoder", "a folder of one", attention) as options:
        loaded: CrossEncoder = CrossEncoder(str(model), device=device, max_length=max_length, **options)
        loaded.to(getattr(torch, dtype))
        _read_answers(loaded, model, form)
        positions = getattr(loaded.config, "max_position_embeddings", None)
        if max_length is not None and positions is not None and max_length > positions:
            raise InputError(f"max_length is {max_length}, but {model} reads at most {positions} tokens; lower it.")
        with half_for_flash(device, attention), torch.inference_mode():
            # parts that do not fit together fail only here
            trial = loaded.tokenizer("a", "trial", return_tensors="pt").to(loaded.device)
            loaded.eval()({**trial, "modality": "text", "logits_to_keep": 1})
    if loaded.num_labels != 1:
        raise InputError(f"the cross-encoder {model} has {loaded.num_labels} outputs; give one with a single score.")
    return loaded


def _read_answers(loaded: CrossEncoder, model: str | Path, form: PairForm) -> None:
    """Has a language model scored by the tokens of the form; refuses tokens that it lacks."""
    if form.relevant is None:
        return
    parts: list[Any] = list(loaded)
    if not isinstance(parts[-1], LogitScore):
        raise InputError(f"{model} is no language model, which `relevant` and `irrelevant` are for; leave them out.")
    ids = []
    for text in filter(None, (form.relevant, form.irrelevant)):
        tokens = loaded.tokenizer(text, add_special_tokens=False)["input_ids"]
        if len(tokens) != 1:
            raise InputError(f"{text!r} is {len(tokens)} tokens to {model}; name an answer that is a single one.")
        ids += tokens
    parts[-1].true_token_id, parts[-1].false_token_id = ids[0], ids[1] if len(ids) > 1 else None
