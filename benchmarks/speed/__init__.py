"""How fast chatproxy is beside nginx, and beside other versions of itself."""
