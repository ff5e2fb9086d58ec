"""`mfdb dump|verify|restore`: an identity's datasets in files, and back on another machine."""
