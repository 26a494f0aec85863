"""Pairs of question and SQL from a database alone: no model, no network.

`synthesise` draws needs from a grammar over the schema, writes each as SQL and as questions from one syntax tree, and keeps
what has an answer. See docs/synthesis.md.
"""

from t2s.data.synthesis.coverage import Coverage
from t2s.data.synthesis.grammar import Weights
from t2s.data.synthesis.synthesise import Generated, Plan, synthesise

__all__ = ["Coverage", "Generated", "Plan", "Weights", "synthesise"]
