"""Past studies."""
