"""Tests of the images, the Compose file and the directory `deploy`, without the programs that read them."""
