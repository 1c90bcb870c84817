"""Product images in a folder, in a zip and on the web."""
