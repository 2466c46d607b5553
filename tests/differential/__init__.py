"""Generated rules, served by the local mesh and by a real istiod, must be answered alike."""
