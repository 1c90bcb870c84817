"""Opens what was published and answers HTTP; never trains, never imports torch for a by-id question."""
