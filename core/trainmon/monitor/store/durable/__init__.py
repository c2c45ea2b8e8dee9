"""History in a database and files: all that needs SQLAlchemy."""
