"""The language-model client."""
