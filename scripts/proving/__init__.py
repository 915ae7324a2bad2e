"""Proofs that need a machine of a kind; ``scripts/prove_gpu`` runs them."""
