"""The door: knows what a user gives as a model by its content, refuses what cannot be trusted, and reads the rest."""
