"""Routes and the inventory beside them, in the form in which checks compare them."""
