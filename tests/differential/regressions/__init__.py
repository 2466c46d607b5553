"""What the comparison with a real istiod has found, as tests that need none.

Each says in which place of Istio's source or documentation the answer stands.
"""
