"""MLflow: on a server, or in a database beside the runs."""
