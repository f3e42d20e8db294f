"""How accuracy is won back after surgery."""
