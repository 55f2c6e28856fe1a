"""A language model to test with, made here from nothing: small, Llama's architecture, trained on an invented shop's pages."""
