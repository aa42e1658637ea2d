"""chatproxy's own HTTP API: one module for each kind of resource."""
