"""Teachers: language models that write, reword and review question/SQL pairs for a database."""
