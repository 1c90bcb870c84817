"""From a request to recommendations: strategies, queries, re-ranking, explanations."""
