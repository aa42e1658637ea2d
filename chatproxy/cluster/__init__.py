"""What several chatproxies that share a database do together, each of which is a replica."""
