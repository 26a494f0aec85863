"""How good predictions are, judged by running them; no torch."""
