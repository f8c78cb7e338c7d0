"""Elasticsearch: the machine, the run and the measurements as documents, for Kibana."""
