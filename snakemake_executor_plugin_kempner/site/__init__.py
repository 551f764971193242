"""What a site has to offer, what follows from it for a request, and what is wrong with a request there."""
