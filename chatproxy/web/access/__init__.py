"""Who asks, where a signed token says so: an application's own users, and visitors."""
