"""SQL without a model: read a schema, run a query safely, compare two results, take a query apart.

Nothing is imported here, so that `t2s.sql.execute` loads without sqlglot.
"""
