"""The rules and what stands around them, as the checks compare them."""
