"""Loading of sentence-transformers models of all kinds, and what is said of them: prompts, modules, weights."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from msgspec import structs
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Normalize, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from sentence_transformers.util import is_sentence_transformer_model
from tokenizers.processors import Sequence, TemplateProcessing
from transformers import AutoConfig
from transformers.utils import logging as transformers_logging

from lrat_sim.errors import InputError
from lrat_sim.foreign import reading
from lrat_sim.progress import console
from lrat_sim.retrieval.dense import DenseSettings, LoadSettings, with_own_options

LONGEST = 512  # tokens of a text, where neither settings nor model say less; the paper's length (section 6.1.4)
# names under which a model keeps its prompts; the first that it has counts
QUERY_PROMPTS = ("query",)
DOCUMENT_PROMPTS = ("document", "passage", "corpus")

_POOLING = {"last": "lasttoken", "mean": "mean", "cls": "cls"}


def load_model(
    model: str | Path, device: str, *, attention: str | None = None, how: LoadSettings | None = None
) -> SentenceTransformer:
    """The encoder in a folder, read without network, or by its hub id or the name of its recipe.

    Where its files say something else than ``how``, they are overruled, and a line on the terminal says so.

    Args:
        model: the folder, the hub id or the recipe, of which all counts but the precision of the weights.
        device: where it computes.
        attention: its attention, as transformers names it.
        how: what its files do not say, or say otherwise.

    Raises:
        InputError: it cannot be loaded, or has no sentence-transformers files and ``how`` names no pooling.
    """
    if how is None:
        own = with_own_options(DenseSettings(model=str(model)))
        how, prompts = structs.replace(own, weights=None), {"query": own.query_prompt, "document": own.document_prompt}
        model = model if isinstance(model, Path) else own.model or model
    else:
        prompts = {}
    # a checkpoint in half precision is widened by default: in it a training step of 1e-6 would be lost
    with loading(model, "model", "a sentence-transformers folder", attention, how.revision) as options:
        loaded = _read(str(model), device, how, options).to(getattr(torch, how.weights or "float32"))
        loaded.prompts |= {name: prompt for name, prompt in prompts.items() if prompt is not None}
        _overrule(str(model), loaded, how)
        with half_for_flash(device, attention):
            loaded.encode("a trial", show_progress_bar=False)  # parts that do not fit together fail only here
        return loaded


def _read(model: str, device: str, how: LoadSettings, options: dict[str, Any]) -> SentenceTransformer:
    which = {name: options[name] for name in ("revision", "local_files_only") if name in options}
    if is_sentence_transformer_model(model, **which):
        return SentenceTransformer(model, device=device, **options)
    if how.pooling is None:
        AutoConfig.from_pretrained(model, **which)  # what is no model at all is refused as such
        raise InputError(
            f"the model {model} has no sentence-transformers files (modules.json), so that nothing says how its tokens "
            f"become a vector; name its recipe, as in lrat-0.6b:model={model}, or give pooling=last, mean or cls."
        )
    # what sentence-transformers would guess has no Normalize, and for some decoders another pooling
    parts = [
        Transformer(
            model,
            model_kwargs={**which, **options.get("model_kwargs", {})},
            processor_kwargs=dict(which),
            config_kwargs=dict(which),
        )
    ]
    parts += [Pooling(parts[0].get_embedding_dimension(), _POOLING[how.pooling]), Normalize()]
    return SentenceTransformer(modules=parts, device=device)


def _overrule(model: str, loaded: SentenceTransformer, how: LoadSettings) -> None:
    """Sets what ``how`` says, and says where the model's files differ."""
    parts: list[Any] = list(loaded)
    tokenizer: Any = loaded.tokenizer
    differs: dict[str, tuple[Any, Any]] = {}
    if how.pooling is not None:
        for part in parts:
            if isinstance(part, Pooling) and part.pooling_mode != _POOLING[how.pooling]:
                differs["pooling"] = part.pooling_mode, _POOLING[how.pooling]
                part.pooling_mode = _POOLING[how.pooling]
    if how.padding_side is not None:
        differs["padding side"] = tokenizer.padding_side, how.padding_side
        tokenizer.padding_side = how.padding_side
    if how.causal is not None:
        backbone: Any = loaded.transformers_model
        backbone.config.is_causal = how.causal  # by which the mask is made; where there is none, the layers decide
        for module in backbone.modules():
            if hasattr(module, "is_causal"):
                module.is_causal = how.causal
    if how.end_token is not None:
        _end_with(tokenizer, how.end_token, model)
    _say(model, differs)


def _end_with(tokenizer: Any, token: str, model: str) -> None:
    """Makes a tokenizer end every text with a token, a text that is cut off too; many do so by themselves."""
    number = tokenizer.convert_tokens_to_ids(token)
    if number is None or number == tokenizer.unk_token_id:
        raise InputError(f"the tokenizer of {model} has no token {token!r}; correct end_token.")
    if tokenizer("a").input_ids[-1] == number:
        return
    backend = tokenizer.backend_tokenizer
    ending = TemplateProcessing(single=f"$A {token}", pair=f"$A $B {token}", special_tokens=[(token, number)])
    backend.post_processor = Sequence([*filter(None, [backend.post_processor]), ending])


def _say(model: str, differs: dict[str, tuple[Any, Any]]) -> None:
    """Says where what is used is not what the model's own files say (None: nothing)."""
    parts = [f"{what} {used!r} ({own!r} there)" for what, (own, used) in differs.items() if own not in (None, used)]
    if parts:
        console.print(f"{model}: used otherwise than its files say: {', '.join(parts)}", markup=False, soft_wrap=True)


def half_for_flash(device: str, attention: str | None) -> torch.autocast:
    """Half precision where flash attention is used, which supports no other."""
    return torch.autocast(torch.device(device).type, torch.bfloat16, enabled="flash" in (attention or ""))


@contextmanager
def loading(
    model: str | Path, kind: str, wanted: str, attention: str | None = None, revision: str | None = None
) -> Iterator[dict[str, Any]]:
    """A context in which another library loads a model; yields the options to load it with.

    Whatever the library raises becomes an :class:`InputError` that calls the model ``kind`` and asks for ``wanted``.
    """
    local = Path(model).is_dir()  # read without network; a path is never taken for a hub id
    if isinstance(model, Path) and not local:
        raise InputError(f"there is no model folder {model}; give an existing one, or a hub id.")
    problem, remedy = f"the {kind} {model} cannot be loaded", f"give {wanted}, or a hub id that can be reached"
    options: dict[str, Any] = {"local_files_only": local}
    if revision is not None and not local:
        options["revision"] = revision
    if attention is not None:
        problem += f" with attn_implementation {attention!r}"
        remedy = f"leave attn_implementation out, install what it needs, or {remedy}"
        options["model_kwargs"] = {"attn_implementation": attention}
    with quiet(), reading(problem, remedy):
        yield options


@contextmanager
def quiet() -> Iterator[None]:
    """Silences what transformers and their like print of themselves, progress bars included."""
    names = ("transformers", "sentence_transformers", "accelerate", "huggingface_hub")
    levels = {logger: logger.level for logger in map(logging.getLogger, names)}
    bars: Any = transformers_logging
    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    for logger in levels:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in levels.items():
            logger.setLevel(level)
        if shown:
            bars.enable_progress_bar()


def prompt_of(model: Any, *names: str) -> str:
    """The model's own prompt under the first of the names that it has, else its default one, else none: what
    ``encode_query`` and ``encode_document`` would use."""
    for name in (*names, model.default_prompt_name):
        if name in model.prompts:
            return str(model.prompts[name])
    return ""


def prompts_used(name: str, model: Any, settings: Any) -> tuple[str, str]:
    """What stands before queries and before documents: as settings say, else the model's own.  Where both say
    something, a line on the terminal says so."""
    own = prompt_of(model, *QUERY_PROMPTS), prompt_of(model, *DOCUMENT_PROMPTS)
    wanted = settings.query_prompt, settings.document_prompt
    query, document = (theirs if ours is None else ours for ours, theirs in zip(wanted, own, strict=True))
    _say(name, {"query prompt": (own[0] or None, query), "document prompt": (own[1] or None, document)})
    return query, document


def weights_fingerprint(model: torch.nn.Module) -> str:
    """A fingerprint of the weights as loaded, whichever files hold them."""
    digest = hashlib.sha256()
    for name, weight in sorted(model.state_dict().items()):
        digest.update(f"{name} {weight.dtype} {tuple(weight.shape)}".encode())
        digest.update(weight.detach().cpu().contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def modules_identity(model: Any) -> list[Any]:
    """The modules of a sentence-transformers model, each by its name and its settings, as plain JSON.

    What a transformer reads of a text is left out, since its users set that for each text.
    """
    parts: list[Any] = [part for part in model.modules() if hasattr(part, "get_config_dict")]
    lengths = {"max_seq_length", "query_length", "document_length"}
    return [
        [type(part).__name__, {key: value for key, value in part.get_config_dict().items() if key not in lengths}]
        for part in parts
        if part is not model
    ]
