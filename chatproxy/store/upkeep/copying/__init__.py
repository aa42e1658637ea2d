"""From one database to another, of either kind, without a loss."""
