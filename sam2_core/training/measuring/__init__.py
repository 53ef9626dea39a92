"""How good a model is: simulated users, figures of merit, baselines."""
