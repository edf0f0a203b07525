"""The settings of a training run, a recipe's fields; light, so that the command line can check them without torch."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from lrat_sim.errors import InputError
from lrat_sim.settings import NotNegative, Positive, Settings, Whole

_Count = Annotated[int, Meta(ge=0, le=1_000_000_000)]
_Length = Annotated[int, Meta(ge=4, le=1_000_000)]
_BelowOne = Annotated[float, Meta(ge=0, lt=1)]

Kind = Literal["encoder", "multivector", "sparse", "reranker"]
"""The kinds of model that can be trained."""

ONLY_SPARSE = ("document_regularizer", "query_regularizer", "regularizer_warmup")
"""Settings that only sparse encoders have."""


class TrainingSettings(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What decides a trained model, beside its pairs, corpus and base model; the defaults are those of `train-small`.

    Raises:
        InputError: a value is not allowed, or no pair could have a negative.
    """

    epochs: Annotated[Whole, Meta(description="Passes over the pairs.")] = 2
    batch_size: Annotated[Whole, Meta(description="Pairs per step, of all processes together.")] = 32
    learning_rate: Annotated[Positive, Meta(description="Peak learning rate; it falls linearly to 0.")] = 2e-4
    warmup: Annotated[_BelowOne, Meta(description="Share of all steps in which the learning rate rises from 0.")] = 0.1
    temperature: Annotated[Positive, Meta(description="Temperature of the loss (tau).")] = 0.02
    similarity: Annotated[Literal["cosine", "dot"], Meta(description="Similarity in the loss.")] = "cosine"
    group_size: Annotated[Whole, Meta(description="Texts per pair: its positive, the rest mined negatives.")] = 5
    negatives: Annotated[
        Literal["first", "sample"],
        Meta(description="Which mined negatives fill the group: the first by rank, or a new sample in every epoch."),
    ] = "sample"
    in_batch_negatives: Annotated[bool, Meta(description="Use the batch's other documents as negatives.")] = True
    pair_weights: Annotated[bool, Meta(description="Whether a pair counts by its weight, or else 1.")] = True
    max_query_length: Annotated[_Length, Meta(description="Tokens of a query; the rest is cut off.")] = 64
    max_document_length: Annotated[_Length, Meta(description="Tokens of a document; the rest is cut off.")] = 128
    freeze_layers: Annotated[_Count, Meta(description="Lower layers left as they are; 0 trains all.")] = 3
    dropout: Annotated[bool, Meta(description="Whether the base model's own dropout is on.")] = False
    weight_decay: Annotated[NotNegative, Meta(description="Weight decay of AdamW, on weight matrices alone.")] = 0.0
    max_gradient_norm: Annotated[Positive, Meta(description="Gradients above this norm are scaled down to it.")] = 1.0
    precision: Annotated[
        Literal["auto", "fp32", "bf16", "fp16"],
        Meta(description="What the model computes in; auto is bf16 where the hardware multiplies in it, else fp32."),
    ] = "auto"
    attn_implementation: Annotated[
        str | None,
        Meta(description="Attention of the transformer: eager, sdpa, flash_attention_2, …; by default the fastest."),
    ] = None
    compile: Annotated[bool, Meta(description="Compiles the transformer: faster on a GPU after minutes.")] = False
    mini_batch_size: Annotated[
        Whole | None,
        Meta(description="Texts in memory at once (GradCache): the same gradients for a second forward pass."),
    ] = None
    gradient_checkpointing: Annotated[bool, Meta(description="Saves memory; activations are computed twice.")] = False
    lora_rank: Annotated[_Count, Meta(description="Rank of adapters trained in place of weights; 0 for none.")] = 0
    lora_alpha: Annotated[Positive, Meta(description="The adapters' output is scaled by this over their rank.")] = 32.0
    document_regularizer: Annotated[
        NotNegative, Meta(description="Weight of the penalty for documents of many terms (FLOPS), of kind sparse.")
    ] = 0.0
    query_regularizer: Annotated[
        NotNegative, Meta(description="Likewise, for queries; 0 for an inference-free model.")
    ] = 0.0
    regularizer_warmup: Annotated[
        _BelowOne, Meta(description="Share of all steps in which both weights rise from 0, quadratically.")
    ] = 0.0
    query_prompt: Annotated[
        str | None, Meta(description="Put before each query, also by users of the model; by default the model's own.")
    ] = None
    document_prompt: Annotated[str | None, Meta(description="Likewise, before each document.")] = None
    development_share: Annotated[
        _BelowOne, Meta(description="Share of the questions held out to choose the best weights; 0 keeps the last.")
    ] = 0.0
    evaluations: Annotated[
        Whole, Meta(description="How often a run measures the model on the held-out questions, its end included.")
    ] = 4
    base_share: Annotated[_BelowOne, Meta(description="Share of base weights in the result (LM-Cocktail).")] = 0.0
    teacher: Annotated[str | None, Meta(description="Folder or hub id of a cross-encoder to learn from.")] = None
    distillation: Annotated[
        Literal["kl", "margin_mse"],
        Meta(description="How the teacher's scores are learned: as a distribution over the group, or as margins."),
    ] = "kl"
    distillation_weight: Annotated[Positive, Meta(description="Weight of the distillation term.")] = 1.0
    checkpoint_steps: Annotated[Whole, Meta(description="Steps between checkpoints, the most a kill can lose.")] = 50
    pairs_expected: Annotated[
        Whole | None, Meta(description="Pairs that the recipe was chosen with; a warning says where there are fewer.")
    ] = 500
    seed: Annotated[_Count, Meta(description="Random seed of order, sampled negatives and dropout.")] = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.group_size == 1 and not self.in_batch_negatives:
            raise InputError(
                "the training setting group_size is 1 and in_batch_negatives is off, so no pair has a negative; "
                "raise group_size or turn in_batch_negatives on."
            )

    def decisive(self) -> dict[str, Any]:
        """The fields that decide a model, as plain JSON."""
        fields: dict[str, Any] = msgspec.to_builtins(self)
        del fields["pairs_expected"]
        # so that models of other kinds are what they were before there were sparse ones
        return {name: value for name, value in fields.items() if value or name not in ONLY_SPARSE}

    def warning(self, pairs: int) -> str | None:
        """A sentence where there are fewer pairs than the recipe was chosen with."""
        if self.pairs_expected is None or pairs >= self.pairs_expected:
            return None
        return (
            f"{pairs:,} pairs are fewer than the {self.pairs_expected:,} that the training recipe was chosen with, so "
            "the gain may be small or none; collect on more tasks, or run each more often."
        )
