"""Builds the retrieval structures: Annoy forest, graph, neighbour table, operating points."""
