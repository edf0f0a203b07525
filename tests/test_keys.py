"""Keys in use are replaced in every way in which they may be written; settings may not hold any."""

import base64
import html
import json
from urllib.parse import quote

import pytest

from lrat_sim import keys
from lrat_sim.errors import InputError
from lrat_sim.keys import redact, redact_all, redact_json, refuse_secrets

PLAIN, ODD = "tok-5f1e9a77c0d24b13", 'p"\\w/ö+d&<987~6 x'


@pytest.fixture(autouse=True)
def own(monkeypatch):
    """Nothing that a test teaches outlives it."""
    monkeypatch.setattr(keys, "_known", set())
    monkeypatch.setattr(keys, "_written", ())
    monkeypatch.setenv("PLAIN_VARIABLE", PLAIN)
    monkeypatch.setenv("ODD_VARIABLE", ODD)
    assert keys.read_key("PLAIN_VARIABLE") == PLAIN
    assert keys.read_key("ODD_VARIABLE") == ODD
    assert keys.read_key("NO_SUCH_VARIABLE") is None


WAYS = {
    "plain": str,
    "in JSON": json.dumps,
    "in JSON, not only ASCII": lambda key: json.dumps(key, ensure_ascii=False),
    "in JSON within JSON": lambda key: json.dumps({"error": json.dumps({"headers": {"x": key}})}),
    "as Python shows it": lambda key: repr([key]),
    "in an address": lambda key: f"https://h/?k={quote(key)}&z=1",
    "in an address, slashes too": lambda key: quote(key, safe=""),
    "in HTML": html.escape,
    "in base64": lambda key: base64.b64encode(key.encode()).decode(),
    "in basic authentication": lambda key: base64.b64encode(f"me:{key}".encode()).decode(),
    "in base64 of a sentence": lambda key: base64.urlsafe_b64encode(f"it's {key}, see".encode()).decode(),
    "cut at its end": lambda key: f"wrong key: {key[: len(key) * 2 // 3]}",
    "cut at its beginning": lambda key: f"{key[len(key) // 3 :]} is wrong",
    "twice": lambda key: f"{key}{key}",
}


@pytest.mark.parametrize("key", [PLAIN, ODD], ids=["plain", "odd"])
@pytest.mark.parametrize("write", WAYS.values(), ids=WAYS)
def test_a_key_is_replaced_however_it_is_written(write, key):
    clean = redact(f"Bearer {write(key)} was refused")
    assert keys.MARK in clean
    assert clean.startswith("Bearer ")
    assert clean.endswith(" was refused")
    parts = {key[start : start + 8] for start in range(len(key) - 7)}
    assert not [part for part in parts if part in clean]


def test_json_stays_json_with_keys_in_texts_and_names_replaced():
    value = {"a": [PLAIN, 1.5, None, True, 12], ODD: {"b": f"x {ODD}"}}
    assert json.loads(redact_json(json.dumps(value).encode())) == {
        "a": [keys.MARK, 1.5, None, True, 12],
        keys.MARK: {"b": f"x {keys.MARK}"},
    }
    assert redact_all({"a": ("b", PLAIN)}) == {"a": ["b", keys.MARK]}
    plain = b'{"a": 1.50}'
    assert redact_json(plain) is plain


def test_text_that_only_shares_a_beginning_with_a_key_stays():
    said = f"keys begin with {PLAIN[:6]} and have {len(PLAIN)} characters"
    assert redact(said) == said


@pytest.mark.parametrize("short", ["none", "EMPTY", "test", "x", "1234567"])
def test_a_value_too_short_for_a_key_garbles_nothing(monkeypatch, short):
    monkeypatch.setenv("LOCAL_API_KEY", short)
    assert keys.read_key("LOCAL_API_KEY") == short
    assert redact(f"this is a {short} of it") == f"this is a {short} of it"


@pytest.mark.parametrize(
    ("name", "value", "learnt"),
    [
        ("SOMEPROVIDER_API_KEY", "value-of-a-provider", True),
        ("AWS_SECRET_ACCESS_KEY", "value-of-a-cloud-x", True),
        ("HUB_TOKEN", "value-of-a-hub-token", True),
        ("DB_PASSWORD", "value-of-a-database", True),
        ("SERVICE_KEY_FILE", "value-of-a-file-name", False),
        ("DEPLOY_KEY", "/home/me/.ssh/deploy", False),
        ("TOKENIZERS_PARALLELISM", "value-of-a-switch", False),
        ("KEYBOARD_LAYOUT", "value-of-a-layout", False),
    ],
)
def test_keys_of_the_environment_are_known_by_the_names_of_their_variables(monkeypatch, name, value, learnt):
    monkeypatch.setenv(name, value)
    keys.read_environment()
    assert (redact(f"it was {value}.") == f"it was {keys.MARK}.") is learnt


SECRETS = [
    ({"api_key": "x"}, "api_key"),
    ({"provider": {"extra_body": {"apiKey": "abc"}}}, "provider.extra_body.apiKey"),
    ({"extra_query": [{"access_token": "abc"}]}, "extra_query.0.access_token"),
    ({"extra_headers": {"Authorization": "Bearer abc"}}, "extra_headers.Authorization"),
    ({"extra_headers": {"X-Api-Key": 1}}, "extra_headers.X-Api-Key"),
    ({"aws_secret_access_key": "abc"}, "aws_secret_access_key"),
    ({"vertex_credentials": "abc"}, "vertex_credentials"),
    ({"db": {"password": 12345678}}, "db.password"),
    ({"base_url": "https://host/v1?subscription-key=abc"}, "base_url"),
    ({"base_url": "https://host/v1#token=abc"}, "base_url"),
    ({"base_url": "https://me@host/v1"}, "base_url"),
    ({"mirrors": ["http://a/v1", "http://u:p@b/v1"]}, "mirrors.1"),
    ({"note": "hf_" + "aB3" * 9}, "note"),
    ({"note": f"use {PLAIN}"}, "note"),
    ({"key_env": "sk-this is the key itself"}, "key_env"),
    ({"extra_body": '[{"clientSecret": "abc"}]'}, "extra_body.0.clientSecret"),
]


@pytest.mark.parametrize(("settings", "field"), SECRETS, ids=[field for _, field in SECRETS])
def test_settings_with_a_secret_are_refused_by_the_name_of_the_field_alone(settings, field):
    with pytest.raises(InputError) as raised:
        refuse_secrets("the agent 'mine'", settings)
    said = str(raised.value)
    assert said.startswith(f"the agent 'mine': `{field}` ")
    assert "`key_env`" in said
    for value in ("abc", "12345678", "u:p", "me@", PLAIN, "aB3aB3", "itself"):
        assert value not in said


@pytest.mark.parametrize(
    "spec",
    [
        "remote:url=http://127.0.0.1:8000?token=abc",
        "remote:url=http://me:hidden@127.0.0.1:8000,token_env=T",
        "embedding-api:api_base=https://h/v1?key=abc,model=openai/m",
        "embedding-api:model=openai/m,api_key=abc",
        "hybrid:bm25+remote:url=http://h?sig=abc",
    ],
)
def test_a_retriever_s_spec_with_a_secret_is_refused(spec):
    from lrat_sim.retrieval.registry import check_retriever

    with pytest.raises(InputError, match="token_env") as raised:
        check_retriever(spec)
    assert "abc" not in str(raised.value)
    assert "hidden" not in str(raised.value)


def test_a_message_repeats_no_key_that_was_given_in_the_wrong_place():
    said = keys.mask(f"no prompt is called 'hf_{'aB3' * 9}', nor {PLAIN}; known are search-agent.")
    assert said == f"no prompt is called '{keys.MARK}', nor {keys.MARK}; known are search-agent."


def test_what_only_sounds_like_a_secret_is_allowed():
    names = [
        *("max_tokens", "max_completion_tokens", "presence_penalty", "tokenizer", "keyword", "keywords", "monkey"),
        *("hotkeys", "prompt_cache_key", "stop_token", "stop_token_ids", "eos_token", "skip_special_tokens", "top_k"),
        *("budget_tokens", "token_type", "author", "secretary", "keypoints", "design", "password_file", "key_file"),
    ]
    refuse_secrets("it", dict.fromkeys(names, "some value"))
    refuse_secrets("it", {"key_env": "MY_KEY", "api_key_env": "K2", "token_env": "TOKEN", "base_url": "http://h:1/v1"})
    refuse_secrets("it", {"url": "https://host/a@b?max_tokens=5&user=me@there", "user": "me@there", "n": [None, 1.5]})
    refuse_secrets("it", "embedding-api:model=openai/m,api_base=http://h/v1,api_key_env=K,max_length=96")
