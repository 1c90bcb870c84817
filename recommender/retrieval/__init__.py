"""Query vectors to candidate rows (Annoy), and the exact choice among them (numpy)."""
