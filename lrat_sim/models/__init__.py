"""Language models: one :class:`~lrat_sim.models.call.Model` protocol, and what any model's calls are wrapped in.

``call`` holds the nouns.  ``litellm_model`` and ``openai_model`` make a call; a model of our own is entered in
:data:`lrat_sim.models.call.OWN_MODELS`.  ``client`` wraps any of them in a cache, retries (``retry`` is the rule),
a limit on the calls in flight (``limiter``) and a ``budget``.  ``message`` reads what came back.
"""
