"""The schema's history, in order. `models/migrate.py` applies it; `models/constraints.py` has what a generated one lacks."""
