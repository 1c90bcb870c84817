"""Embeds changed products and publishes them as a delta over the same base."""
