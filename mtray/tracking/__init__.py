"""A run's records in an experiment tracker (TensorBoard, MLflow, Weights & Biases): one run for the
sweep, and one below it for every trial. Reads the run's folder only; sending again what was sent
adds nothing."""
